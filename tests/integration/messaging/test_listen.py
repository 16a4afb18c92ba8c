"""``manage.py sagas listen``: RabbitMQ's events for a listener of the project."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

import sagas
from sagas import State, runtime
from sagas.models import QueuedEvent
from tests.lab.models import Mark
from tests.lab.sagas import Experiment, Telling
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.runs import await_state
from tests.support.workers import Worker

WORKER = {"concurrency": 1}


def test_a_listener_that_nobody_has_registered_is_named_with_those_that_are_there() -> None:
    with runtime.apart():
        sagas.on_event("taker", ["#"])(lambda _: None)
        with pytest.raises(CommandError, match="no listener is called nobody; there are: taker"):
            call_command("sagas", "listen", "nobody")


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_a_listener_takes_rabbitmqs_events_in_a_process_of_its_own(own_worker: Worker) -> None:
    # Given
    command = [sys.executable, "-m", "django", "sagas", "listen", "taker"]
    environment = {**servers.worker_environment(), "LAB_APPS": "tests.listening"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=servers.ROOT, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "taker listens to lab.Telling.*; SIGTERM ends it\n"
        eventually(lambda: broker.is_declared("taker"), what="the listener's queue")
        # When
        run_id = sagas.start(Telling, Experiment())
        await_state(run_id, State.AWAITING_CONFIRM)
        # Then it hears of the start, three steps and the wait; and nothing is queued in the database
        heard = Mark.objects.filter(run_id=run_id, operation="heard")
        eventually(lambda: heard.count() == 5, what="five events heard")
        assert not QueuedEvent.objects.exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()
        with broker.channel() as channel:
            channel.queue_delete("taker")
