"""The wheel in an environment that has nothing else but a driver of PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.package.environment import Environment, linked, module_names
from tests.package.letters import VARIABLES, Database, assert_a_letter_is_written

WORK = ("-m", "django", "sagas", "work", "--processes", "1")
#: Imports every module of the engine but those whose name says that they need Celery, or Django's admin.
IMPORT_ALL = """
import importlib, pkgutil
import django
django.setup()
import sagas
NEED_MORE = {"sagas.messaging", "sagas.consumer", "sagas.celery", "sagas.tasks", "sagas.worker",
    "sagas.operations.doctor.broker", "sagas.management.broker", "sagas.management.dead", "sagas.management.listen",
    "sagas.admin", "sagas.observability.exporting", "sagas.observability.tracing", "sagas.observability.server",
    "sagas.observability.exposition"}
def walk(path, prefix):
    for found in pkgutil.iter_modules(path, prefix):
        if found.name in NEED_MORE or found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        if found.ispkg:
            walk(module.__path__, found.name + ".")
walk(sagas.__path__, "sagas.")
try:
    import sagas.celery
except ImportError as error:
    assert str(error).endswith("needs Celery, which is not installed: pip install 'django-sagas[celery]'"), error
else:
    raise AssertionError("sagas.celery was imported")
"""


def test_a_saga_runs_in_an_environment_without_any_extra_but_a_driver(
    bare: Environment, post: Path, database: Database
) -> None:
    # Given the wheel and what it asks for: no Celery, no Redis, nothing else
    absent = {"celery", "kombu", "amqp", "redis", "rich", "structlog", "requests", "apprise", "pytest", "click"}
    assert not module_names(bare) & absent
    # Then
    assert_a_letter_is_written(bare, post, database, *WORK, before=IMPORT_ALL)


@pytest.mark.slow
def test_a_broker_without_celery_and_a_redis_without_its_client_are_reported_with_their_extras(
    bare: Environment, project: Path
) -> None:
    # Given
    with (project / "post/settings.py").open("a") as file:
        file.write("DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'none'}}\n")
        file.write("SAGAS = {'QUEUES': ['letters'], 'REDIS_URL': 'redis://localhost/0'}\n")
    # When
    checked = bare.call("-m", "django", "check", cwd=project, variables=VARIABLES)
    refused = bare.call("-m", "django", "sagas", "dispatch", "--once", cwd=project, variables=VARIABLES)
    # Then
    assert checked.returncode == 1
    assert "(sagas.E030) SAGAS has a broker, and Celery is not installed." in checked.stderr
    assert "HINT: pip install 'django-sagas[celery]'; or set SAGAS['BROKER'] = None" in checked.stderr
    assert "HINT: pip install 'django-sagas[redis]'" in checked.stderr
    assert "Traceback" not in checked.stderr + refused.stderr
    assert refused.returncode == 1
    assert refused.stderr.startswith("CommandError: SAGAS has a broker, and Celery is not installed.")


@pytest.mark.slow
def test_an_environment_without_a_driver_is_told_of_both_in_one_line(
    wheel: Path, project: Path, tmp_path: Path
) -> None:
    # Given
    without = linked(tmp_path / "venv", wheel)
    with (project / "post/settings.py").open("a") as file:
        file.write("DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'none'}}\n")
    # When
    done = without.call("-m", "django", "check", cwd=project, variables=VARIABLES)
    # Then
    assert done.returncode == 1
    assert done.stderr == (
        "sagas: DATABASES['default'] is PostgreSQL, and neither psycopg nor psycopg2 is installed. "
        "pip install 'django-sagas[psycopg]' or pip install 'django-sagas[psycopg2]'.\n"
    )
    # And without a driver a project on SQLite is told that it needs PostgreSQL
    with (project / "post/settings.py").open("a") as file:
        file.write("DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'post.sqlite3'}}\n")
    done = without.call("-m", "django", "check", cwd=project, variables=VARIABLES)
    assert done.returncode == 1
    assert "(sagas.E004) The engine needs PostgreSQL" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


LABELLED = """
from django.apps import AppConfig

class Config(AppConfig):
    name = "post.sagas"
"""


@pytest.mark.slow
def test_an_app_of_the_project_with_the_same_label_is_refused_and_another_label_is_the_cure(
    bare: Environment, project: Path
) -> None:
    # Given an app post.sagas
    (project / "post/sagas").mkdir()
    (project / "post/sagas/__init__.py").touch()
    (project / "post/sagas/apps.py").write_text(LABELLED)
    settings = (project / "post/settings.py").read_text()
    settings += "DATABASES = {'default': {'ENGINE': 'sagas.postgresql', 'OPTIONS': {'connect_timeout': 3, "
    settings += "'patience': 31}}}\n"

    def check(*apps: str) -> str:
        (project / "post/settings.py").write_text(f"{settings}INSTALLED_APPS[-2:] = {[*apps, 'letters']}\n")
        return bare.call("-m", "django", "check", cwd=project, variables=VARIABLES).stderr

    # Then
    assert "the app 'post.sagas' has the label 'sagas', which is the engine's" in check("post.sagas", "sagas")
    assert "Application labels aren't unique, duplicates: sagas" in check("sagas", "post.sagas")
    (project / "post/sagas/apps.py").write_text(f'{LABELLED}    label = "stories"\n')
    assert check("post.sagas", "sagas") == check("sagas", "post.sagas") == ""
