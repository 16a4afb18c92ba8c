"""Beside what a project runs on its Celery: results in the database, msgpack, beat, early acks, eager mode, flower.

The engine has an app of its own there, or shares the project's. Either way the project's tasks go as they did, and
the engine's messages and outcomes are in none of its tools.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.docs.apart import running
from tests.support.awaiting import eventually
from tests.support.project import ASK, START, Project, project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MANAGE = (sys.executable, "-m", "django")
BOTH = pytest.mark.parametrize("shared", [False, True], ids=["two apps", "one app"])

#: Everything at once, by which the engine could be disturbed, or disturb.
COMPANIONS = """
INSTALLED_APPS += ["django_celery_results"]
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_SERIALIZER = "msgpack"
CELERY_RESULT_SERIALIZER = "msgpack"
CELERY_ACCEPT_CONTENT = ["msgpack", "json"]
CELERY_TASK_ROUTES = {"letters.tasks.print_label": {"queue": "labels"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_BEAT_SCHEDULE = {"labels": {"task": "letters.tasks.print_label", "schedule": 0.5, "args": ["beat"]}}
"""
#: Name and content type of each task of which there is a result.
RESULTS = """
import json
from django_celery_results.models import TaskResult
found = TaskResult.objects.filter(status="SUCCESS").values_list("task_name", "content_type")
print(json.dumps([*found]))
"""
#: What Celery takes from the project's settings, with which the engine's app could interfere.
CONFIGURED = """
import json
from celery.app.defaults import SETTING_KEYS
from till.celery import app
print(json.dumps({name: repr(app.conf[name]) for name in SETTING_KEYS if "url" not in name}))
"""


def prepare(till: Project) -> None:
    till.run(*MANAGE, "migrate", "-v", "0")
    till.run(*MANAGE, "sagas", "topology")


def results(till: Project) -> list[list[str]]:
    return json.loads(till.python(RESULTS))  # type: ignore[no-any-return]


@BOTH
def test_results_msgpack_beat_routes_and_early_acks_of_the_project_go_on(tmp_path: Path, *, shared: bool) -> None:
    with project(tmp_path, shared=shared, settings=COMPANIONS) as till:
        prepare(till)
        mine = till.workers("till", options=["-Q", "mails,labels" + (",sagas.dispatch,sagas.cancel,letters" * shared)])
        beat = [sys.executable, "-m", "celery", "-A", "till", "beat", "-s", str(tmp_path / "schedule")]
        with mine, ExitStack() as others:
            if not shared:
                others.enter_context(till.workers("sagas"))
            # When tasks of the project and a saga go side by side
            assert json.loads(till.python(ASK)) == ["sent to Lin", "label for Mei"]
            assert till.python(START).strip() == "SUCCEEDED"
            eventually(lambda: len(till.mails()) == 2, within=60, what="the participant's mail")
            others.enter_context(running(beat, tmp_path, till.environment()))
            # (one mail was sent from here, and one by the participant; of the labels all but one are beat's)
            eventually(lambda: len(results(till)) > 4, within=60, what="the results of beat's tasks")
        # Then the participant's task went to the project's queue
        assert till.mails() == ["Lin till mails", "Bo till mails"]
        # And the results are those of the project's tasks alone, as the project wants them
        found = results(till)
        assert {name for name, _ in found} == {"letters.tasks.send_mail", "letters.tasks.print_label"}
        assert {kind for _, kind in found} == {"application/x-msgpack"}


def test_to_share_the_app_changes_no_setting_that_the_project_has(tmp_path: Path) -> None:
    settings = COMPANIONS + "CELERY_BROKER_CONNECTION_MAX_RETRIES = None\n"
    with project(tmp_path, settings=settings) as till:
        alone = json.loads(till.python(CONFIGURED))
        file = tmp_path / "till/celery.py"
        file.write_text(f"{file.read_text()}from sagas.celery import configure\nconfigure(app)\n")
        shared = json.loads(till.python(CONFIGURED))
    changed = {name for name in alone if alone[name] != shared[name]}
    # Only what the engine needs, and the project has left to Celery
    assert changed == {"worker_consumer", "broker_transport_options", "broker_connection_retry_on_startup"}


def test_eager_tasks_of_the_project_do_not_make_the_engine_eager(tmp_path: Path) -> None:
    # Given a project whose tasks are called at once, and only a worker of the engine
    with project(tmp_path, settings="CELERY_TASK_ALWAYS_EAGER = True\n") as till:
        prepare(till)
        with till.workers("sagas"):
            # When a saga runs whose participant sends a task
            assert till.python(START).strip() == "SUCCEEDED"
            # Then the engine's worker has called the task where it was sent
            eventually(lambda: len(till.mails()) == 1, within=30, what="the participant's mail")
    assert till.mails()[0].startswith("Bo till")


def test_eager_tasks_in_a_shared_app_are_refused_with_their_cure(tmp_path: Path) -> None:
    with project(tmp_path, shared=True, settings="CELERY_TASK_ALWAYS_EAGER = True\n") as till:
        checked = till.call(*MANAGE, "check")
        worker = till.call(sys.executable, "-m", "celery", "-A", "till", "worker")
    assert checked.returncode == 1
    assert "sagas.E031" in checked.stderr
    assert "task_always_eager" in checked.stderr
    assert "the engine has an app of its own" in checked.stderr
    # And a worker does not start
    assert worker.returncode != 0
    assert "task_always_eager" in worker.stderr + worker.stdout


@contextmanager
def flower(till: Project) -> Iterator[Any]:
    """Flower on the project's app; gives a function that asks its API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "celery", "-A", "till", "flower", f"--port={port}", "--address=127.0.0.1"]
    environment = {**till.environment(), "FLOWER_UNAUTHENTICATED_API": "true"}

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=20) as answer:
                return json.load(answer)
        except OSError:
            return {}

    with running(command, till.folder, environment):
        yield ask


@pytest.mark.parametrize("told", [False, True], ids=["as it is", "told to send events"])
def test_flower_shows_the_projects_workers_and_the_engines_if_told_to(tmp_path: Path, *, told: bool) -> None:
    settings = "CELERY_WORKER_SEND_TASK_EVENTS = True\n"
    if told:
        settings += "SAGAS['CELERY'] = {'worker_send_task_events': True, 'worker_enable_remote_control': True}\n"
    with project(tmp_path, settings=settings) as till:
        prepare(till)
        with flower(till) as ask, till.workers("till", "sagas"):
            assert json.loads(till.python(ASK)) == ["sent to Lin", "label for Mei"]
            assert till.python(START).strip() == "SUCCEEDED"

            def seen() -> set[str]:
                return {task["name"] for task in ask("tasks").values() if task["name"]}

            # Then it has seen the project's tasks, and those of the engine only where its workers send events
            wanted = {"letters.tasks.send_mail", "letters.tasks.print_label", *(["sagas.dispatch"] if told else [])}
            eventually(lambda: seen() >= wanted, within=60, what=lambda: f"{wanted} among {seen()}")
            workers = {name.partition("-")[0] for name in ask("workers?refresh=1")}
            assert workers == ({"till", "sagas"} if told else {"till"})
            if not told:
                assert not {name for name in seen() if name.startswith("sagas.")}
