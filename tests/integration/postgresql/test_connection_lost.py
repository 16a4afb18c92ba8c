"""The engine's own connection breaks in the middle of a step: nobody is to blame, and the same delivery comes again."""

from __future__ import annotations

import pytest
from django.db import connection

import sagas
from sagas import Call, Rejected, State
from sagas.db import ConnectionLost
from tests.lab import sagas as lab
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.driver import psycopg
from tests.support.runs import state, story

pytestmark = pytest.mark.usefixtures("alone")


class _ServerRestarts:
    """What happens in a participant the first time it is called."""

    def __init__(self, then: Exception | None) -> None:
        self.then = then
        self.calls = 0

    def __call__(self, call: Call[Experiment]) -> None:
        self.calls += 1
        if self.calls > 1:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        other = psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": None})
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        finally:
            other.close()
        if self.then is not None:
            raise self.then


@pytest.mark.parametrize(
    "then", [None, Rejected("no"), ValueError("broken")], ids=["it returns", "it rejects", "it breaks"]
)
def test_a_connection_lost_in_a_participant_costs_no_attempt(
    monkeypatch: pytest.MonkeyPatch, then: Exception | None
) -> None:
    # Given a run whose first step will lose the connection, in the savepoint that its answer ends
    monkeypatch.setattr(lab, "judge", _ServerRestarts(then))
    run_id = sagas.start(Unconfirmed, Experiment())
    (chain,) = chains(claim_all())

    # When
    with pytest.raises(ConnectionLost):
        deliver(chain)
    connection.close()

    # Then it is not known what became of it, which is not the run's fault; delivered again, it goes on
    assert not [line for line in story(run_id) if line.endswith(("FAULT", "REJECTED"))]
    carrier = Carrier()
    carrier.post([chain])
    carrier.run([run_id])
    assert state(run_id) is State.SUCCEEDED
