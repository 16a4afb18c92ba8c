"""Who gives a command, where nobody is named."""

from __future__ import annotations

import getpass

import pytest

from sagas.management.person import user_here


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no username")])
def test_a_user_without_a_name_is_somebody(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    # Given a container whose user is only a number; before Python 3.13 the error is another one
    def nameless() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert user_here() == "somebody"
