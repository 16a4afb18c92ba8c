"""A worker whose consumer has stopped in silence is told by ``sagas alive``, and ends itself."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

import sagas
from sagas import State, store
from sagas.store.workers import Heartbeat
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.runs import await_state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.slow
def test_a_worker_that_gets_no_messages_any_more_ends_itself_and_the_next_one_goes_on(start_worker: Start) -> None:
    # Given a worker that RabbitMQ delivers nothing to any more, of which Celery knows nothing
    worker = start_worker(environment={"LAB_SILENT": "1"}, SILENT_AFTER=8)
    run_id = sagas.start(Unconfirmed, Experiment())

    # When its own ticks wait in its queue for longer than it may be silent
    worker.await_text("this worker ends itself")
    eventually(lambda: worker.process.poll() is not None, within=60)

    # Then another one does the work
    start_worker()
    assert await_state(run_id, State.SUCCEEDED) is State.SUCCEEDED


def test_a_worker_that_gets_no_messages_while_some_wait_is_not_alive() -> None:
    def alive(stalled: float | None) -> None:
        store.workers.record_heartbeat(Heartbeat("w1@here", ticked=0.5, delivered=60.0, stalled=stalled))
        call_command("sagas", "alive", "w1@here")

    # Idle for a minute, and nothing waits; or something has waited for a moment only
    alive(None)
    alive(6.0)
    # But
    with pytest.raises(CommandError, match=r"got no message for 45 s .* its consumer has stopped"):
        alive(45.0)
    store.workers.forget("w1@here")
