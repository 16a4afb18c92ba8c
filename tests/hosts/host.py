"""A project that takes the engine in, as a folder with settings of its own, played by real processes.

Its saga books a seat of a pool, writes a note by the ORM, and waits for a payment. ``Host.play`` books three times, by
requests: one booking is paid, one is cancelled, and one is refused, for there are no seats.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.docs.apart import running
from tests.support import servers
from tests.support.databases import drop_database
from tests.support.driver import psycopg

_SETTINGS = """
SECRET_KEY = "a key of the tests"
ROOT_URLCONF = "host.urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "sagas", "booking"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {{"default": {database}}}
SAGAS = {{"QUEUES": ["booking"], "BROKER": None}}
"""

_MODELS = """
from django.conf import settings
from django.db import models
from sagas.pool import Hold, Pool

class Hall(Pool):
    code = models.CharField(primary_key=True, max_length=20)

class Seat(Hold):
    pass

class Note(models.Model):
    run_id = models.UUIDField()
    text = models.CharField(max_length=40)
    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE,
        db_constraint=False)
"""

_SAGAS = """
from dataclasses import dataclass
from datetime import timedelta
from booking.models import Hall, Note, Seat
from sagas import Call, Confirmation, Saga, Step, Tcc
from sagas.pool import PoolResource

@dataclass(frozen=True)
class Visit:
    hall: str

def write(call: Call[Visit]) -> None:
    Note.objects.create(run_id=call.run_id, text=call.request.hall)

def tear(call: Call[Visit]) -> None:
    Note.objects.filter(run_id=call.run_id).delete()

class Book(Saga[Visit]):
    payment = Confirmation(within=timedelta(seconds=60), needs_compensation=False)
    seat = Tcc(PoolResource(pool=Hall, hold=Seat, demand=lambda visit: {visit.hall: 1}), queue="booking")
    note = Step(write, compensate=tear, queue="booking")
"""

_URLS = """
import sagas
from booking.sagas import Book, Visit
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

def book(request, hall):
    return JsonResponse({"run": str(sagas.start(Book, Visit(hall=hall), business_key=hall))})

def pay(request, run):
    return JsonResponse({"settled": sagas.confirm(run, "payment", {"amount": 1}).settled})

def cancel(request, run):
    sagas.cancel(run, by="the guest")
    return JsonResponse({})

urlpatterns = [
    path("book/<str:hall>/", csrf_exempt(book)),
    path("pay/<str:run>/", csrf_exempt(pay)),
    path("cancel/<str:run>/", csrf_exempt(cancel)),
]
"""

_PLAY = """
import json, time
from booking.models import Hall, Note
from django.test import Client
from sagas.models import Run

client = Client()
Hall.objects.bulk_create([Hall(code="large", available=10), Hall(code="full", available=0)])

def book(hall):
    return client.post(f"/book/{hall}/").json()["run"]

def until(run, *states):
    # Of the primary: reads of a project may go to a replica
    end = time.monotonic() + 60
    while (state := Run.objects.using("default").get(pk=run).state) not in states:
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state

paid, cancelled, refused = book("large"), book("large"), book("full")
until(paid, "AWAITING_CONFIRM"), until(cancelled, "AWAITING_CONFIRM")
assert client.post(f"/pay/{paid}/").status_code == client.post(f"/cancel/{cancelled}/").status_code == 200
states = [until(run, "SUCCEEDED", "FAILED") for run in (paid, cancelled, refused)]
hall = Hall.objects.using("default").get(code="large")
print(json.dumps([*states, [hall.available, hall.held, hall.sold], Note.objects.using("default").count()]))
"""

#: What ``play`` gives where everything is as it should be.
WELL = ["SUCCEEDED", "FAILED", "FAILED", [9, 0, 1], 1]
MANAGE = (sys.executable, "-m", "django")


@dataclass(frozen=True)
class Host:
    """The project in a folder, on a database of its own."""

    folder: Path
    #: URL of its database, without a pooler.
    database_url: str
    settings: str = "host.settings"

    def environment(self) -> dict[str, str]:
        hidden = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "RABBITMQ_URL", "REDIS_URL", "DATABASE_URL"}
        own = {"DJANGO_SETTINGS_MODULE": self.settings, "PYTHONPATH": str(self.folder / "engine")}
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

    def check(self, *arguments: str) -> str:
        """What ``manage.py check`` says, and nothing of where it says it."""
        done = self.call(*MANAGE, "check", *arguments)
        return done.stdout + done.stderr

    def migrate(self) -> None:
        self.run(*MANAGE, "migrate", "-v", "0", "--run-syncdb")

    def working(self) -> ExitStack:
        """``manage.py sagas work`` while the block lasts."""
        stack = ExitStack()
        command = [*MANAGE, "sagas", "work", "--processes", "1"]
        stack.enter_context(running(command, self.folder, self.environment()))
        return stack

    def play(self) -> Any:
        """Play the three bookings; tell their fates, the seats (available, held, sold), and the number of notes."""
        return json.loads(self.python(_PLAY).strip().splitlines()[-1])

    def sql(self, statement: str, *, url: str | None = None) -> list[tuple[Any, ...]]:
        """Execute one statement outside a transaction."""
        return execute(statement, url or self.database_url)


def execute(statement: str, url: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def database(url: str, **settings: Any) -> dict[str, Any]:
    """An entry of ``DATABASES`` for a URL."""
    parts = urlsplit(url)
    found = {
        "ENGINE": "sagas.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": parts.hostname,
        "PORT": parts.port,
        "OPTIONS": {"connect_timeout": 5},
    }
    return {**found, **settings}


@contextmanager
def new_database() -> Iterator[str]:
    """Make an empty database; give its URL."""
    name = f"host_{secrets.token_hex(4)}"
    url = os.environ["DATABASE_URL"]
    execute(f"CREATE DATABASE {name}", url)
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        drop_database(lambda sql: execute(sql, url), name)


@contextmanager
def host(folder: Path, settings: str = "", *, files: dict[str, str] | None = None) -> Iterator[Host]:
    """Make the project, with more settings and more files, by their path; nothing is migrated yet."""
    with new_database() as url:
        texts = {
            "host/__init__.py": "",
            "host/settings.py": _SETTINGS.format(database=repr(database(url))) + settings,
            "host/urls.py": _URLS,
            "booking/__init__.py": "",
            "booking/models.py": _MODELS,
            "booking/sagas.py": _SAGAS,
            **(files or {}),
        }
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "engine").mkdir()
        (folder / "engine/sagas").symlink_to(servers.ROOT / "sagas")
        yield Host(folder, url)


def played(project: Host) -> Any:
    """Migrate, and play with a worker beside."""
    project.migrate()
    with project.working():
        return project.play()
