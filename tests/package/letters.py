"""A Django project of somebody else's, with a saga that writes a letter."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.package.environment import Environment
from tests.support.awaiting import eventually
from tests.support.driver import psycopg

VARIABLES = {"DJANGO_SETTINGS_MODULE": "post.settings"}
SETTINGS = """
SECRET_KEY = "a key of the tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "sagas", "letters"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SAGAS = {"QUEUES": ["letters"], "BROKER": None}
"""
MODELS = """
from django.db import models

class Letter(models.Model):
    run_id = models.UUIDField(unique=True)
    to = models.CharField(max_length=40)
"""
SAGAS = """
from dataclasses import dataclass

from letters.models import Letter
from sagas import Call, Saga, Step

@dataclass(frozen=True)
class Wish:
    to: str

def write(call: Call[Wish]) -> None:
    Letter.objects.create(run_id=call.run_id, to=call.request.to)

def tear(call: Call[Wish]) -> None:
    Letter.objects.filter(run_id=call.run_id).delete()

class SendLetter(Saga[Wish]):
    write = Step(write, compensate=tear, queue="letters")
"""
#: Does what a project does, and starts a run.
START = """
import django
django.setup()
from django.core.management import call_command
call_command("makemigrations", "letters")
call_command("migrate")
call_command("check", databases=["default"], fail_level="WARNING")
from letters.sagas import SendLetter, Wish
SendLetter.start(Wish(to="Lin"))
"""


@dataclass(frozen=True)
class Database:
    """A database of its own. ``settings`` is ``DATABASES`` of a settings module."""

    settings: str
    dsn: str

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask it, beside Django."""
        connection = psycopg.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()


def write_project(folder: Path, settings: str = "") -> None:
    """Write the project; ``settings`` come last."""
    for package in ("post", "letters", "letters/migrations"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    (folder / "post" / "settings.py").write_text(SETTINGS + settings)
    (folder / "letters" / "models.py").write_text(MODELS)
    (folder / "letters" / "sagas.py").write_text(SAGAS)


def assert_a_letter_is_written(
    environment: Environment,
    folder: Path,
    database: Database,
    *worker: str,
    before: str = "",
    warnings: Sequence[str] = ("-W", "error"),
) -> None:
    """Start a run in a project, and a worker, by the arguments of Python; wait until the run has ended."""
    environment.run(*warnings, "-c", before + START, cwd=folder, variables=VARIABLES)
    process = subprocess.Popen(
        [str(environment.python), *warnings, *worker], cwd=folder, env=environment.variables(**VARIABLES)
    )
    try:
        eventually(
            lambda: database.rows('SELECT state, "to" FROM sagas_run, letters_letter') == [("SUCCEEDED", "Lin")],
            within=100,
            what="the run at its end",
        )
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
