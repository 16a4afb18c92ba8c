"""psycopg 3 with ``OPTIONS={"server_side_binding": True}``: parameters travel apart from the text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import is_psycopg3

import sagas
from sagas import State, selectors
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier
from tests.support.runs import states

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.skipif(not is_psycopg3, reason="psycopg2 has no binding on the server"),
]


@pytest.fixture(autouse=True)
def _bound_on_the_server(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
    yield
    connection.close()


def test_runs_are_confirmed_and_undone(jar: str) -> None:
    # Given
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(4)]
    Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 4}
    # When
    sagas.confirm(ids[0], "approval")
    sagas.confirm(ids[1], "approval")
    sagas.cancel(ids[2])
    Carrier().run(ids)
    # Then
    assert states(ids) == {State.SUCCEEDED: 2, State.FAILED: 1, State.AWAITING_CONFIRM: 1}
    assert selectors.run_view(ids[0]).state is State.SUCCEEDED
