"""``SAGAS``: what is refused, and what the system checks say about it."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from sagas import Confirmation, Saga, Step, runtime
from sagas.conf import Misconfigured, config, parse_settings

OK: dict[Any, Any] = {"QUEUES": ["orders"]}


def test_only_queues_is_required() -> None:
    parsed = parse_settings(OK)
    assert parsed.queues == ("orders",)
    assert parsed.redis_url is None
    assert parsed.lease > parsed.tick


def test_each_queue_is_taken_once() -> None:
    assert parse_settings({"QUEUES": ["b", "a", "b"]}).queues == ("b", "a")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "missing or no dict"),
        ([], "missing or no dict"),
        ({}, "QUEUES"),
        ({"QUEUES": []}, "QUEUES"),
        ({"QUEUES": "orders"}, "QUEUES"),
        ({"QUEUES": [""]}, "QUEUES"),
        ({"QUEUES": [5]}, "QUEUES"),
        ({"QUEUES": ["sagas.mine"]}, "reserved names: sagas.mine"),
        ({"QUEUES": ["celery", "amq.x"]}, "reserved names: celery, amq.x"),
        ({**OK, "QUEUE": ["a"], "Lease": 5}, "unknown keys: Lease, QUEUE"),
        ({**OK, 5: 5}, "unknown keys: 5"),
        ({**OK, "LEASE": 0}, "'LEASE'"),
        ({**OK, "LEASE": -1}, "'LEASE'"),
        ({**OK, "LEASE": "10"}, "'LEASE'"),
        ({**OK, "LEASE": True}, "'LEASE'"),
        ({**OK, "LEASE": None}, "'LEASE'"),
        ({**OK, "LEASE": float("nan")}, "'LEASE'"),
        ({**OK, "LEASE": float("inf")}, "'LEASE'"),
        ({**OK, "COHORT": 2.5}, "'COHORT'"),
        ({**OK, "DATA_LIMIT": 0}, "'DATA_LIMIT'"),
        ({**OK, "DATA_LIMIT": "64 KiB"}, "'DATA_LIMIT'"),
        ({**OK, "CLAIM": 0.5}, "'CLAIM'"),
        ({**OK, "GRACE": "soon"}, "'GRACE'"),
        ({**OK, "GRACE": -1}, "'GRACE'"),
        ({**OK, "GUARD_TTL": -1}, "'GUARD_TTL'"),
        ({**OK, "GUARD_TTL": None}, "'GUARD_TTL'"),
        ({**OK, "DELAYS": []}, "'DELAYS'"),
        ({**OK, "DELAYS": [0]}, "'DELAYS'"),
        ({**OK, "DELAYS": [1, "2"]}, "'DELAYS'"),
        ({**OK, "DELAYS": 5}, "'DELAYS'"),
        ({**OK, "DELAYS": None}, "'DELAYS'"),
        ({**OK, "REDIS_URL": 6379}, "'REDIS_URL'"),
        ({**OK, "REDIS_URL": "localhost:6379"}, "'REDIS_URL'"),
        ({**OK, "ESCALATION_URLS": "slack://a/b/c"}, "'ESCALATION_URLS'"),
        ({**OK, "ESCALATION_URLS": [5]}, "'ESCALATION_URLS'"),
        ({**OK, "ESCALATION_URLS": ["mei@shop.example"]}, "'ESCALATION_URLS'"),
        ({**OK, "ADMIN_URL": "shop.example/admin"}, "'ADMIN_URL'"),
        ({**OK, "ADMIN_URL": 5}, "'ADMIN_URL'"),
        ({**OK, "ACKNOWLEDGE_WITHIN": 0}, "'ACKNOWLEDGE_WITHIN'"),
        ({**OK, "NOTICE_LEASE": -1}, "'NOTICE_LEASE'"),
        ({**OK, "BREAKER_WINDOWS": -1}, "'BREAKER_WINDOWS'"),
        ({**OK, "BREAKER_WINDOWS": 1.5}, "'BREAKER_WINDOWS'"),
        ({**OK, "BREAKER_WINDOW": 0}, "'BREAKER_WINDOW'"),
        ({**OK, "BREAKER_RATE": 0}, "'BREAKER_RATE'"),
        ({**OK, "BREAKER_RATE": 15}, "'BREAKER_RATE'"),
        ({**OK, "BREAKER_OPERATIONS": 0}, "'BREAKER_OPERATIONS'"),
        ({**OK, "BREAKER_MINIMUM": 101}, "'BREAKER_MINIMUM'"),
        ({**OK, "BREAKER_PROBE": 0}, "'BREAKER_PROBE'"),
        ({**OK, "METRICS": 1}, "'METRICS'"),
        ({**OK, "METRICS_TOKEN": "short"}, "'METRICS_TOKEN'"),
        ({**OK, "METRICS_TOKEN": "ä" * 16}, "'METRICS_TOKEN'"),
    ],
    ids=repr,
)
def test_an_invalid_setting_is_refused_with_a_hint(raw: object, said: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        parse_settings(raw)
    assert said in raised.value.message
    assert raised.value.hint.endswith(".")
    assert str(raised.value) == f"{raised.value.message} {raised.value.hint}"


def test_messages_about_channels_contain_no_secret() -> None:
    secret = "hunter2"
    assert secret not in repr(parse_settings({**OK, "ESCALATION_URLS": [f"slack://{secret}"]}))
    with pytest.raises(Misconfigured) as raised:
        parse_settings({**OK, "ESCALATION_URLS": [secret]})
    assert secret not in str(raised.value)


@pytest.mark.parametrize(
    ("seconds", "delay"), [(0.0, 0.1), (0.1, 0.1), (0.11, 1.0), (1.0, 1.0), (5, 8.0), (64, 64.0), (1000, 64.0)]
)
def test_a_wait_is_rounded_up_to_a_delay_queue(seconds: float, delay: float) -> None:
    assert parse_settings(OK).delay_for(seconds) == delay


def test_changed_settings_are_read_again(settings: Settings) -> None:
    before = config().lease
    settings.SAGAS = {**settings.SAGAS, "LEASE": before + 1}
    assert config().lease == before + 1


# -- System checks ------------------------------------------------------------------------------------------


def problems() -> dict[str, checks.CheckMessage]:
    # From Django 6.1 on a check that is asked for by its tag gets all databases, unless some are named.
    return {str(message.id): message for message in checks.run_checks(tags=["sagas"], databases=[])}


@dataclass(frozen=True)
class Request:
    name: str = ""


def of_the_project() -> dict[str, checks.CheckMessage]:
    """Problems of what the apps declare; other tests have sagas of their own, some of which are wrong on purpose."""
    return {name: message for name, message in problems().items() if not message.msg.startswith("tests.")}


def test_a_valid_configuration_has_no_problems() -> None:
    assert of_the_project() == {}


@pytest.mark.parametrize(
    "wrong", [None, {"QUEUES": []}, {"QUEUES": ["orders"], "LEASE": 0}, {"QUEUES": ["orders"], "DELAYS": 5}]
)
def test_e001_reports_invalid_settings(settings: Settings, wrong: Any) -> None:
    settings.SAGAS = wrong
    found = problems()["sagas.E001"]
    assert "SAGAS" in found.msg
    assert found.hint
    assert found.level == checks.ERROR


def test_e002_reports_a_queue_that_is_not_in_the_settings(_registry: None) -> None:
    class Lost(Saga[Request]):
        somewhere = Step(print, queue="nowhere")

    found = problems()["sagas.E002"]
    assert found.msg == "tests.Lost.somewhere has the queue 'nowhere', which is not in SAGAS['QUEUES']."
    assert found.hint is not None
    assert "Add 'nowhere' to SAGAS['QUEUES']" in found.hint


def test_e010_reports_a_confirmation_without_a_compensation(_registry: None) -> None:
    # Given one that takes a payment and keeps it, one that has nothing to give back, and one that gives it back
    class Kept(Saga[Request]):
        payment = Confirmation(within=timedelta(seconds=5))
        approval = Confirmation(within=timedelta(seconds=5), needs_compensation=False)
        deposit = Confirmation(within=timedelta(seconds=5), compensate=print, queue="orders")
        step = Step(print, queue="orders")

    problems = checks.run_checks(tags=["sagas"], databases=[])
    # Of this one alone: other tests have sagas of their own.
    found = [message for message in problems if message.id == "sagas.E010" and message.msg.startswith("tests.Kept.")]
    assert [message.level for message in found] == [checks.ERROR]
    assert found[0].msg.startswith("tests.Kept.payment has no compensate=: if its run is undone")
    assert found[0].hint is not None
    assert "compensate=" in found[0].hint
    assert "needs_compensation=False" in found[0].hint


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_YQ==", "whsec_?", 5, [], ["whsec_YQ=="]], ids=str)
def test_an_invalid_secret_of_reports_is_refused(settings: Settings, secret: object) -> None:
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": secret}
    assert "CALLBACK_SECRET" in problems()["sagas.E001"].msg


def test_several_secrets_of_reports_are_accepted(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": [f"whsec_{'A' * 32}", f"whsec_{'B' * 32}"]}
    assert of_the_project() == {}


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_YQ==", "whsec_?", f"whsec_{'A' * 31}"], ids=str)
def test_an_invalid_secret_of_payments_is_refused_and_not_shown(settings: Settings, secret: str) -> None:
    settings.WEBHOOK_SECRET = secret
    (found,) = checks.run_checks(tags=["orders"])
    assert (found.id, found.level) == ("orders.E001", checks.ERROR)
    assert "DRINKGROUP_WEBHOOK_SECRET" in str(found.hint)


def test_e003_reports_a_module_that_cannot_be_imported(_registry: None) -> None:
    runtime.declared.failed_imports["shop.sagas"] = NameError("name 'Stpe' is not defined")
    found = problems()["sagas.E003"]
    assert found.msg == "shop.sagas cannot be imported: NameError: name 'Stpe' is not defined"
    assert found.hint is not None
    assert "Repair the module" in found.hint


def test_e004_reports_a_database_that_is_not_postgresql(settings: Settings) -> None:
    with warnings.catch_warnings():
        # Django warns whoever overrides it; only the check reads it here.
        warnings.filterwarnings("ignore", "Overriding setting DATABASES", UserWarning)
        settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
    found = problems()["sagas.E004"]
    assert "PostgreSQL" in found.msg
    assert found.hint is not None
    assert "DATABASES['default']" in found.hint


def test_e009_reports_that_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Python without the two
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    # When
    found = problems()["sagas.E009"]
    # Then
    assert "neither psycopg nor psycopg2 is installed" in found.msg
    assert found.level == checks.ERROR


@pytest.mark.parametrize(
    ("installed", "problem"),
    [
        ({"psycopg": "3.1.20", "psycopg2": "2.9.13 (dt dec pq3 ext lo64)"}, "psycopg 3.1.20 is too old: the engine "),
        ({"psycopg2": "2.8.6 (dt dec pq3 ext lo64)"}, "psycopg2 2.8.6 is too old: the engine needs 2.9 or later."),
        ({"psycopg": "3.2.0"}, ""),
        ({"psycopg": "3.4.0.dev1", "psycopg2": "2.8"}, ""),
        ({"psycopg2": "2.9.13 (dt dec pq3 ext lo64)"}, ""),
    ],
)
def test_e009_reports_a_driver_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], problem: str
) -> None:
    for name in ("psycopg", "psycopg2"):
        version = installed.get(name)
        module = SimpleNamespace(__version__=version, __spec__=object()) if version else None
        monkeypatch.setitem(sys.modules, name, module)
    found = problems().get("sagas.E009")
    assert (found.msg if found else "").startswith(problem)
    assert bool(found) is bool(problem)


def test_e009_says_why_a_driver_that_is_installed_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given psycopg 3 without libpq, and nothing else
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available.\\nAttempts made:')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "psycopg", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    # Then
    found = problems()["sagas.E009"]
    assert found.msg == "No driver of PostgreSQL can be imported: psycopg: no pq wrapper available."
