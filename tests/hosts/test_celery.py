"""Beside a project's own Celery: its tasks go on as they did, and no setting of its changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from celery import Celery
from celery.utils.quorum_queues import detect_quorum_queues
from kombu import Exchange, Queue

import sagas.celery
import sagas.worker
from sagas import runtime
from sagas.messaging.app import configure, find_unfit_settings
from tests.support.project import START, project

MANAGE = (sys.executable, "-m", "django")

#: Many tasks that wait, then one that does not, and one that waits for a moment.
COUNTDOWNS = """
import json
from letters.tasks import print_label, send_mail
print_label.delay("first").get(timeout=60)  # the worker is there, and so are Celery's delay queues, if it declares any
for n in range(30):
    print_label.apply_async([f"later {n}"], countdown=300)
soon = send_mail.apply_async(["soon"], countdown=2)
print(json.dumps([print_label.delay("now").get(timeout=30), soon.get(timeout=40)]))
"""

QUORUM = """
from kombu import Exchange, Queue
CELERY_TASK_DEFAULT_QUEUE = "mails"
CELERY_TASK_QUEUES = [Queue("mails", Exchange("mails", "topic"), "mails", queue_arguments={"x-queue-type": "quorum"})]
CELERY_TASK_DEFAULT_EXCHANGE = "mails"
CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "topic"
CELERY_TASK_DEFAULT_ROUTING_KEY = "mails"
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr(runtime.declared, "shared_apps", [])
    app = Celery("shop", set_as_current=False, broker="amqp://127.0.0.1:1//")
    configure(app)
    return app


def test_a_shared_app_counts_as_one_with_quorum_queues_only_if_the_project_has_some(shared: Celery) -> None:
    # Given the engine's queues, which are quorum queues
    assert "sagas.dispatch" in shared.amqp.queues
    # Then tasks with a countdown go the way they went without the engine
    assert detect_quorum_queues(shared, "amqp") == (False, "")
    # And with a quorum queue of the project they go Celery's other way, as without the engine
    shared.amqp.queues.add(Queue("mails", Exchange("mails", "topic"), queue_arguments={"x-queue-type": "quorum"}))
    assert detect_quorum_queues(shared, "amqp") == (True, "mails")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("shared", [False, True], ids=["two apps", "one app"])
@pytest.mark.parametrize("settings", ["", QUORUM], ids=["classic", "quorum"])
def test_countdowns_of_the_project_hold_up_nothing(tmp_path: Path, settings: str, *, shared: bool) -> None:
    with project(tmp_path, shared=shared, settings=settings) as till:
        till.run(*MANAGE, "migrate", "-v", "0")
        till.run(*MANAGE, "sagas", "topology")
        with till.workers(*(["till"] if shared else ["till", "sagas"])):
            assert json.loads(till.python(COUNTDOWNS)) == ["label for now", "sent to soon"]
            assert till.python(START).strip() == "SUCCEEDED"


def test_the_engines_queues_are_reached_whatever_exchange_is_the_projects_default(shared: Celery) -> None:
    shared.conf.update(task_default_exchange="mails", task_default_exchange_type="topic")
    queues = shared.amqp.queues
    assert queues["sagas.dispatch"].exchange.name == ""
    assert queues["sagas.cancel"].exchange.name == "exchange.compensate"


def test_the_engine_has_an_app_of_its_own_unless_one_is_shared(monkeypatch: pytest.MonkeyPatch, shared: Celery) -> None:
    assert sagas.worker.app() is shared
    monkeypatch.setattr(runtime.declared, "shared_apps", [])
    assert sagas.worker.app() is sagas.celery.app


@pytest.mark.parametrize(
    "theirs",
    [
        {"task_serializer": "pickle", "result_serializer": "pickle", "accept_content": ["json", "pickle"]},
        {"task_serializer": "msgpack", "accept_content": ["json", "msgpack"]},
        {"result_backend": "django-db", "task_track_started": True},
        {"task_acks_late": False, "worker_prefetch_multiplier": 8, "task_routes": {"mails.*": {"queue": "mails"}}},
        {"beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler", "worker_send_task_events": True},
        {"worker_detect_quorum_queues": False, "worker_enable_remote_control": True},
    ],
    ids=["pickle", "msgpack", "results in the database", "early acks and routes", "beat and events", "no detection"],
)
def test_a_shared_app_keeps_its_settings_and_the_engine_accepts_them(shared: Celery, theirs: dict[str, object]) -> None:
    shared.conf.update(theirs)
    assert {name: shared.conf[name] for name in theirs} == theirs
    assert [*find_unfit_settings()] == []


def test_eager_mode_is_refused_in_a_shared_app_and_does_not_reach_the_engines_own(shared: Celery) -> None:
    shared.conf.task_always_eager = True
    (lack,) = find_unfit_settings()
    assert "task_always_eager" in lack.what
    assert not sagas.celery.app.conf.task_always_eager
