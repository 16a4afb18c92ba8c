"""A project that has Celery tasks of its own, beside the engine: both go on as they did."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.awaiting import eventually
from tests.support.project import ASK, START, project


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("shared", [False, True], ids=["two apps", "one app"])
def test_tasks_of_the_project_and_sagas_share_a_broker(tmp_path: Path, *, shared: bool, pool: str) -> None:
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


SECRETS = """
SAGAS["ESCALATION_URLS"] = ["json://me:p4ssword@127.0.0.1:1/hook"]
SAGAS["CALLBACK_SECRET"] = "whsec_" + "cDRzc3dvcmQ" * 4
PARTNER_URL = "https://me:p4ssword@partner.example/"
"""


@pytest.mark.slow
def test_workers_and_reports_reveal_no_secret(tmp_path: Path) -> None:
    # Given a project that shares its app, whose workers may be asked
    with project(tmp_path, shared=True, settings=SECRETS) as till:
        till.run(sys.executable, "-m", "django", "migrate", "-v", "0")
        celery = [sys.executable, "-m", "celery", "-A"]
        with till.workers("till"):
            inspect = [*celery, "till", "inspect", "--timeout", "5", "conf"]
            eventually(lambda: till.call(*inspect).returncode == 0, within=60, what="a worker that answers")
            told = [till.run(*inspect), till.run(*celery, "till", "report"), till.run(*celery, "sagas", "report")]
    # Then they tell of settings, and of no secret
    assert "partner.example" in told[0]
    broker = urlsplit(os.environ["RABBITMQ_URL"])
    redis = urlsplit(os.environ["REDIS_URL"])
    for text in told:
        for secret in ("p4ssword", "cDRzc3dvcmQ", broker.password, redis.password):
            assert not secret or secret not in text


@pytest.mark.slow
def test_the_engines_workers_answer_no_remote_control(tmp_path: Path) -> None:
    with project(tmp_path) as till:
        till.run(sys.executable, "-m", "django", "migrate", "-v", "0")
        with till.workers("sagas"):
            assert till.python(START).strip() == "SUCCEEDED"
            for command in (["inspect", "conf"], ["inspect", "ping"], ["status"]):
                done = till.call(sys.executable, "-m", "celery", "-A", "sagas", *command)
                assert done.returncode != 0
                assert "No nodes replied" in done.stdout + done.stderr
