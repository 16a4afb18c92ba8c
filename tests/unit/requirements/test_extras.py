"""Packages that only some projects need: what is said where one of them is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.backends.postgresql import base
from pytest_django import Settings

from sagas import checks, runtime
from sagas.redis import client as redis_client
from sagas.requirements import extras, software

Missing = Callable[..., None]


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Missing:
    """Have packages seem not to be installed."""

    def take_away(*modules: str) -> None:
        monkeypatch.setattr(extras, "is_installed", lambda module: module not in modules)

    return take_away


def test_nothing_is_said_where_everything_is_installed() -> None:
    assert list(extras.missing()) == []
    assert extras.driver() is None


@pytest.fixture
def broker(settings: Settings) -> None:
    """A broker in the settings: it is the default."""
    settings.SAGAS = {"QUEUES": ["letters"]}


def test_a_broker_without_celery_is_an_error_of_the_checks(broker: None, missing: Missing) -> None:
    missing("celery")
    (error,) = checks.check_requirements()
    assert (error.id, error.msg) == ("sagas.E030", "SAGAS has a broker, and Celery is not installed.")
    assert error.hint is not None
    assert error.hint.startswith("pip install 'django-sagas[celery]'; or set SAGAS['BROKER'] = None")
    assert checks.check_celery() == []


@pytest.mark.parametrize("command", [["topology"], ["topology", "--replace"], ["dispatch", "--once"], ["dead"]])
def test_a_command_that_needs_celery_says_so_in_one_line(broker: None, missing: Missing, command: list[str]) -> None:
    missing("celery")
    with pytest.raises(CommandError) as refused:
        call_command("sagas", *command, stdout=StringIO())
    assert str(refused.value).startswith("SAGAS has a broker, and Celery is not installed. pip install")


def test_without_a_broker_celery_may_be_missing(missing: Missing, settings: Settings) -> None:
    missing("celery")
    settings.SAGAS = {**settings.SAGAS, "BROKER": None}
    assert checks.check_requirements() == []


def test_a_url_of_redis_without_its_client_is_an_error_of_the_checks(missing: Missing, settings: Settings) -> None:
    missing("redis")
    settings.SAGAS = {**settings.SAGAS, "REDIS_URL": "redis://localhost/0"}
    (error,) = checks.check_requirements()
    assert error.id == "sagas.E030"
    assert error.msg.startswith("SAGAS['REDIS_URL'] is set, and redis-py is not installed")
    assert error.hint == "pip install 'django-sagas[redis]'; or leave REDIS_URL out."


def test_without_its_client_redis_is_not_asked_and_nothing_is_raised(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    settings.SAGAS = {**settings.SAGAS, "REDIS_URL": "redis://localhost/15"}
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr(runtime.own, "redis", {})
    for name in ("redis_paused_until", "redis_told_at"):
        monkeypatch.setattr(runtime.memory, name, float("-inf"))
    # When
    answer = redis_client.ask(lambda client: client.ping())
    # Then
    assert answer is None
    assert redis_client.is_paused()
    assert "redis-py is not installed: pip install 'django-sagas[redis]'" in caplog.text


@pytest.mark.parametrize("engine", ["django.db.backends.postgresql", "sagas.postgresql"])
def test_postgresql_without_a_driver_ends_the_process_with_one_line(
    missing: Missing, settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    missing(*extras.DRIVERS)
    monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": engine})
    with pytest.raises(SystemExit) as refused:
        software.insist_on_django_and_driver()
    (line,) = str(refused.value).splitlines()
    assert "neither psycopg nor psycopg2 is installed" in line
    assert "'django-sagas[psycopg]' or pip install 'django-sagas[psycopg2]'" in line


@pytest.mark.parametrize("driver", extras.DRIVERS)
def test_either_driver_is_enough(missing: Missing, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    missing(*(set(extras.DRIVERS) - {driver}))
    monkeypatch.setitem(sys.modules, driver, ModuleType(driver))
    monkeypatch.setattr(sys.modules[driver], "__version__", "99.0", raising=False)
    software.insist_on_django_and_driver()


@pytest.mark.parametrize("engine", ["sagas.postgresql", "post.backend"])
def test_a_backend_that_builds_on_postgresql_is_postgresql(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    # Given a backend of a project, as that of PostGIS is one of Django's
    backend: Any = ModuleType("post.backend.base")
    backend.DatabaseWrapper = type("DatabaseWrapper", (base.DatabaseWrapper,), {})
    monkeypatch.setitem(sys.modules, "post.backend.base", backend)
    databases: Any = settings.DATABASES
    monkeypatch.setitem(databases, "default", {"ENGINE": engine})
    # Then
    assert checks.check_database() == []


@pytest.mark.parametrize("engine", ["django.db.backends.sqlite3", "django.db.backends.mysql", ""])
def test_a_database_that_is_not_postgresql_is_an_error_of_the_checks_and_needs_no_driver(
    missing: Missing, settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    missing(*extras.DRIVERS)
    databases: Any = settings.DATABASES
    monkeypatch.setitem(databases, "default", {"ENGINE": engine})
    software.insist_on_django_and_driver()
    (error,) = checks.check_database()
    assert error.id == "sagas.E004"


def test_a_module_that_needs_an_extra_names_it(missing: Missing) -> None:
    missing("celery")
    with pytest.raises(ImportError, match=r"A broker needs Celery, which is not installed: pip install 'django-sagas"):
        extras.require("celery", "A broker")
