"""A broker that is set and cannot be reached at the start: one line says so, and nothing is begun or half-made."""

from __future__ import annotations

import json
import re
import signal
import socket
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

import sagas
from sagas import State
from sagas.models import Run
from tests.integration.local.test_work import SETTINGS, Work
from tests.lab.sagas import Experiment, Lab
from tests.support.awaiting import eventually
from tests.support.runs import await_state
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def away() -> str:
    """The URL of a RabbitMQ that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return f"amqp://shop:p4ssword@127.0.0.1:{port}//"


@pytest.mark.slow
def test_a_worker_says_so_in_one_line_begins_nothing_and_ends_when_told(away: str) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())
    worker = Worker(environment={"RABBITMQ_URL": away})
    try:
        # Then
        worker.await_text("Cannot connect to amqp://")
        said = [line for line in worker.text().splitlines() if "Cannot connect" in line]
        assert re.search(r"Cannot connect to amqp://shop:\*+@127\.0\.0\.1:\d+//: .*Connection refused", said[0])
        assert "Traceback" not in worker.text()
        assert "p4ssword" not in worker.text()
        assert worker.process.poll() is None
        assert Run.objects.filter(pk=run_id, state=State.PENDING, claims=0).exists()
        worker.process.send_signal(signal.SIGTERM)
        eventually(lambda: worker.process.poll() is not None, what="its end")
    finally:
        worker.stop()


def test_work_performs_runs_also_while_the_broker_that_is_set_is_away(away: str, settings: Settings) -> None:
    own: dict[str, Any] = {**SETTINGS, "BROKER": "rabbitmq"}
    settings.SAGAS = {**django_settings.SAGAS, **own}
    work = Work(1, LAB_SAGAS=json.dumps(own), RABBITMQ_URL=away)
    try:
        await_state(sagas.start(Lab, Experiment()), State.AWAITING_CONFIRM)
        assert "Traceback" not in work.text()
        assert "p4ssword" not in work.text()
    finally:
        assert work.stop() == 0
