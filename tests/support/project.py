"""A project of somebody else's, in a folder: with Celery tasks of its own, and a saga whose participant sends one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.apart import apart, running
from tests.support import servers

SETTINGS = """
from urllib.parse import urlsplit
SECRET_KEY = "a key of the tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "sagas", "letters"]
_database = urlsplit("{DATABASE_URL}")
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": _database.path[1:],
    "USER": _database.username, "PASSWORD": _database.password, "HOST": _database.hostname, "PORT": _database.port}}}}
CELERY_BROKER_URL = "{RABBITMQ_URL}"
CELERY_RESULT_BACKEND = "{REDIS_URL}"
CELERY_TASK_DEFAULT_QUEUE = "mails"
CELERY_TASK_ACKS_LATE = False
SAGAS = {{"QUEUES": ["letters"], "REDIS_URL": "{REDIS_URL}"}}
"""

CELERY = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "till.settings")
app = Celery("till")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
SHARED = "from sagas.celery import configure\nconfigure(app)\n"

TASKS = """
from celery import shared_task
from till.celery import app

@shared_task(bind=True)
def send_mail(self, to):
    with open("mails.txt", "a") as mails:
        print(to, self.app.main, self.request.delivery_info["routing_key"], file=mails)
    return f"sent to {to}"

@app.task
def print_label(to):
    return f"label for {to}"
"""

SAGAS = """
from dataclasses import dataclass
from functools import partial
from django.db import transaction
from letters.tasks import send_mail
from sagas import Call, Saga, Step

@dataclass(frozen=True)
class Letter:
    to: str

def write(call: Call[Letter]) -> None:
    transaction.on_commit(partial(send_mail.delay, call.request.to))

def tear(call: Call[Letter]) -> None:
    pass

class SendLetter(Saga[Letter]):
    write = Step(write, compensate=tear, queue="letters")
"""

ASK = """
import json
from letters.tasks import print_label, send_mail
print(json.dumps([send_mail.delay("Lin").get(timeout=60), print_label.delay("Mei").get(timeout=60)]))
"""
START = """
import sagas, time
from letters.sagas import Letter, SendLetter
from sagas import selectors
run_id = sagas.start(SendLetter, Letter(to="Bo"))
end = time.monotonic() + 60
while selectors.run_view(run_id).state.value not in ("SUCCEEDED", "FAILED"):
    assert time.monotonic() < end, selectors.run_view(run_id)
    time.sleep(0.05)
print(selectors.run_view(run_id).state.value)
"""


@dataclass(frozen=True)
class Project:
    """A Django project in a folder, on a database, a virtual host and a Redis database of its own."""

    folder: Path
    #: Folders that come first on its path: packages of other versions.
    packages: Sequence[Path] = ()

    def environment(self) -> dict[str, str]:
        hidden = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "RABBITMQ_URL", "REDIS_URL", "DATABASE_URL"}
        own = {
            "DJANGO_SETTINGS_MODULE": "till.settings",
            "PYTHONPATH": os.pathsep.join(map(str, [*self.packages, self.folder / "engine"])),
        }
        return {**{name: value for name, value in os.environ.items() if name not in hidden}, **own}

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=100
        )

    def run(self, *command: str) -> str:
        done = self.call(*command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, text: str) -> str:
        return self.run(sys.executable, "-c", f"import django; django.setup()\n{text}")

    def mails(self) -> list[str]:
        file = self.folder / "mails.txt"
        return file.read_text().splitlines() if file.exists() else []

    def workers(self, *apps: str, options: Sequence[str] = ()) -> ExitStack:
        started = ExitStack()
        for app in apps:
            command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", f"{app}-{self.folder.name}@%h"]
            started.enter_context(running([*command, "-c", "1", *options], self.folder, self.environment()))
        return started


@contextmanager
def project(
    folder: Path, *, shared: bool = False, settings: str = "", packages: Sequence[Path] = ()
) -> Iterator[Project]:
    """Make it: with an app of its own beside the engine's, or one that is shared; with more settings."""
    with apart() as urls:
        for package in ("till", "letters", "engine"):
            (folder / package).mkdir()
        (folder / "engine" / "sagas").symlink_to(servers.ROOT / "sagas")
        (folder / "till/__init__.py").write_text("from till.celery import app as celery_app\n")
        (folder / "till/settings.py").write_text(SETTINGS.format(**urls) + settings)
        (folder / "till/celery.py").write_text(CELERY + (SHARED if shared else ""))
        (folder / "letters/__init__.py").touch()
        (folder / "letters/tasks.py").write_text(TASKS)
        (folder / "letters/sagas.py").write_text(SAGAS)
        yield Project(folder, packages)
