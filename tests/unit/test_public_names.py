"""The public names: what ``import sagas`` offers."""

from __future__ import annotations

import sagas
from sagas import errors


def test_the_errors_that_an_application_catches_are_public() -> None:
    public = {name for name in sagas.__all__ if isinstance(getattr(errors, name, None), type)}
    assert public == {"AlreadyDecided", "InvalidRequest", "Locked", "Overloaded", "Rejected", "RunNotFound"}


def test_every_public_name_is_documented() -> None:
    undocumented = [name for name in sagas.__all__ if not getattr(sagas, name).__doc__]
    assert undocumented == []
