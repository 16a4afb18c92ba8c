"""A project that has Celery tasks of its own, beside the engine: both go on as they did."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.awaiting import eventually
from tests.support.project import ASK, START, project


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("shared", [False, True], ids=["two apps", "one app"])
def test_tasks_of_the_project_and_sagas_work_beside_each_other(tmp_path: Path, *, shared: bool, pool: str) -> None:
    # Given a project whose tasks have a queue and a result backend of their own
    with project(tmp_path, shared=shared) as till:
        till.run(sys.executable, "-m", "django", "check")
        till.run(sys.executable, "-m", "django", "migrate", "-v", "0")
        till.run(sys.executable, "-m", "django", "sagas", "topology")
        apps = ["till"] if shared else ["till", "sagas"]
        with till.workers(*apps, options=["-P", pool]):
            # Then its tasks are performed, and their results come
            assert json.loads(till.python(ASK)) == ["sent to Lin", "label for Mei"]
            # And sagas end
            assert till.python(START).strip() == "SUCCEEDED"
            # And a task that a participant has sent went where the project sends it
            eventually(lambda: till.mails() == ["Lin till mails", "Bo till mails"], what="both mails, of the project's")
