"""The engine's own Celery app, and a project's app that it shares: who sets what, what is refused, what is shown."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, current_app
from pytest_django import Settings

from sagas import runtime
from sagas.checks import check_celery, check_requirements, check_settings
from sagas.messaging.app import (
    app,
    configure,
    does_engine_work,
    engine_app,
    find_unfit_settings,
    make_app,
)

SECRETS = ("p4ssword", "t0ken")
BROKER = "amqp://shop:p4ssword@127.0.0.1:5672//"


@pytest.fixture(autouse=True)
def _nobody_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.declared, "shared_apps", [])


def project(**settings: Any) -> Any:
    """A project's app that has read its Django settings, and is shared with the engine."""
    shared: Any = Celery("shop", set_as_current=False)
    named = {f"CELERY_{name.upper()}": value for name, value in settings.items()}
    shared.config_from_object(SimpleNamespace(**{"CELERY_BROKER_URL": BROKER, **named}), namespace="CELERY")
    configure(shared)
    return shared


# -- An app of its own ----------------------------------------------------------------------------------------


def test_the_engines_app_uses_only_the_projects_broker_settings(
    settings: Settings,
) -> None:
    settings.CELERY_BROKER_URL = BROKER
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"client_properties": {"a": "b"}, "confirm_publish": False}
    settings.CELERY_TASK_DEFAULT_QUEUE = "mails"
    settings.CELERY_RESULT_BACKEND = "redis://127.0.0.1:1/0"
    settings.CELERY_TASK_ALWAYS_EAGER = True
    settings.CELERY_TASK_SERIALIZER = "pickle"
    engine = make_app()
    assert engine.conf.broker_url == BROKER
    assert engine.conf.broker_transport_options == {"client_properties": {"a": "b"}, "confirm_publish": True}
    assert engine.conf.task_default_queue == "sagas.dispatch"
    assert engine.conf.task_always_eager is False
    assert engine.conf.task_serializer == "json"
    assert engine.backend.as_uri() == "disabled://"


def test_the_engines_broker_setting_precedes_the_projects_and_the_environments(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
    settings.SAGAS = {**settings.SAGAS, "BROKER_URL": ["amqp://one//", "amqp://two//"]}
    for connection in (make_app().connection_for_write(), make_app().connection_for_read()):
        assert connection.transport_cls == "amqp"
        assert connection.alt == ["amqp://one//", "amqp://two//"]
    assert check_requirements() == []


def test_celery_settings_can_be_given_for_the_engines_app(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "CELERY": {"worker_max_tasks_per_child": 1000, "broker_heartbeat": 30}}
    engine = make_app()
    assert engine.conf.worker_max_tasks_per_child == 1000
    assert engine.conf.broker_heartbeat == 30
    assert check_celery() == []


def test_the_engines_app_does_not_replace_the_projects() -> None:
    current: Any = current_app
    before = current._get_current_object()
    theirs = Celery("shop")
    try:
        app.set_current()
        app.set_default()
        # shared_task goes through it
        assert current._get_current_object() is theirs
    finally:
        before.set_current()
        before.set_default()


def test_the_engine_publishes_with_its_own_app_unless_it_is_given_another() -> None:
    assert engine_app() is app
    assert does_engine_work(app)
    shared = project()
    assert engine_app() is shared
    assert does_engine_work(shared)
    assert not does_engine_work(Celery("other", set_as_current=False))


def test_the_engines_workers_do_not_reveal_their_settings() -> None:
    assert app.conf.worker_enable_remote_control is False


# -- An app that is shared ------------------------------------------------------------------------------------

THEIRS: dict[str, Any] = {
    "task_default_queue": "mails",
    "task_default_exchange": "shop",
    "task_default_routing_key": "mail",
    "task_default_queue_type": "classic",
    "result_backend": "redis://127.0.0.1:6379/0",
    "task_ignore_result": False,
    "task_serializer": "yaml",
    "accept_content": ["yaml", "json"],
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_create_missing_queues": True,
    "worker_prefetch_multiplier": 8,
    "worker_send_task_events": True,
    "worker_enable_remote_control": True,
    "worker_hijack_root_logger": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_heartbeat": 60,
    "broker_transport_options": {"confirm_publish": True, "read_timeout": 7},
}


@pytest.mark.parametrize("way", ["settings", "update", "attribute", "afterwards"])
@pytest.mark.parametrize("name", THEIRS)
def test_the_projects_settings_of_a_shared_app_are_kept(name: str, way: str) -> None:
    value = THEIRS[name]
    if way == "settings":
        shared = project(**{name: value})
    else:
        shared = Celery("shop", broker=BROKER, set_as_current=False)
        if way == "update":
            shared.conf.update({name: value})
        if way == "attribute":
            setattr(shared.conf, name, value)
        configure(shared)
        if way == "afterwards":
            setattr(shared.conf, name, value)
    assert getattr(shared.conf, name) == value
    assert list(find_unfit_settings()) == []


@pytest.mark.parametrize(
    "name",
    [
        "task_default_queue",
        "task_ignore_result",
        "task_acks_late",
        "task_create_missing_queues",
        "task_serializer",
        "worker_prefetch_multiplier",
        "worker_hijack_root_logger",
        "worker_enable_remote_control",
        "CELERY_DB_REUSE_MAX",
    ],
)
def test_unset_settings_of_a_shared_app_are_celerys_defaults(name: str) -> None:
    assert project().conf.get(name) == Celery("bare", set_as_current=False).conf.get(name)


def test_the_projects_queue_is_consumed_beside_those_of_the_engine(settings: Settings) -> None:
    consumed = set(project(task_default_queue="mails").amqp.queues.consume_from)
    assert consumed == {"mails", "sagas.dispatch", "sagas.cancel", "sagas.escalation", *settings.SAGAS["QUEUES"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept_content", ["pickle"]),
        ("worker_consumer", "celery.worker.consumer:Consumer"),
        ("broker_connection_retry_on_startup", False),
        ("broker_connection_max_retries", 5),
        ("broker_transport_options", {"read_timeout": 7}),
        ("broker_transport_options", {"confirm_publish": False}),
        ("task_always_eager", True),
        ("task_protocol", 1),
    ],
)
@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_a_setting_that_breaks_a_promise_is_refused_by_name(name: str, value: Any, when: str) -> None:
    if when == "before":
        project(**{name: value})
    else:
        setattr(project().conf, name, value)
    (error,) = check_celery()
    assert error.id == "sagas.E031"
    assert name in error.msg
    assert "'shop'" in error.msg


def test_an_app_on_another_broker_is_refused_without_its_password() -> None:
    project(broker_url="redis://:p4ssword@127.0.0.1:6379/0")
    (error,) = check_celery()
    assert "RabbitMQ" in error.msg
    assert "p4ssword" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", False),
        ("task_queues", ["mine"]),
        ("broker_url", BROKER),
        ("broker_transport_options", {"confirm_publish": False}),
        ("no_such_setting", 1),
        ("CELERY_TASK_ACKS_LATE", False),
    ],
)
def test_invalid_settings_for_the_engines_app_are_refused_by_name(settings: Settings, name: str, value: Any) -> None:
    settings.SAGAS = {**settings.SAGAS, "CELERY": {name: value}}
    (error,) = check_celery()
    assert error.id == "sagas.E031"
    assert name in error.msg
    assert "p4ssword" not in str(error)


# -- Which broker ---------------------------------------------------------------------------------------------

OTHERS = ["redis://:p4ssword@cache:6379/0", "sqs://key:p4ssword@", "memory://", "filesystem://", "p4ssword"]


@pytest.mark.parametrize("url", OTHERS)
@pytest.mark.parametrize("where", ["settings", "environment", "SAGAS"])
def test_a_broker_that_is_no_rabbitmq_is_refused_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str, where: str
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    if where == "settings":
        settings.CELERY_BROKER_URL = url
    if where == "environment":
        monkeypatch.setenv("CELERY_BROKER_URL", url)
    if where == "SAGAS":
        settings.SAGAS = {**settings.SAGAS, "BROKER_URL": url}
    (error,) = [*check_requirements(), *check_settings()]
    assert "RabbitMQ" in f"{error.msg} {error.hint}"
    assert "\n" not in error.msg
    assert "p4ssword" not in str(error)


@pytest.mark.parametrize(
    "url", [BROKER, "amqps://h//", "pyamqp://h", f"{BROKER};amqp://b:c@two:5672//", [BROKER, "amqp://two//"]]
)
def test_any_form_of_a_rabbitmq_url_is_accepted(settings: Settings, url: Any) -> None:
    settings.CELERY_BROKER_URL = url
    assert check_requirements() == []
    settings.SAGAS = {**settings.SAGAS, "BROKER_URL": url}
    assert check_settings() == []


# -- What is shown --------------------------------------------------------------------------------------------

CONFIDENTIAL: dict[str, Any] = {
    "RABBITMQ_URL": BROKER,
    "SAGAS": {
        "REDIS_URL": "redis://:p4ssword@cache:6379/0",
        "BROKER_URL": [BROKER, "amqp://b:p4ssword@two:5672//"],
        "ESCALATION_URLS": ["slack://t0ken/t0ken/t0ken"],
        "CALLBACK_SECRET": "whsec_t0ken",
    },
    "PARTNERS": {"one": ["https://me:p4ssword@partner.example/", "https://h.example/?api_token=t0ken"]},
    "CELERY_BROKER_READ_URL": f"{BROKER};amqp://b:p4ssword@two:5672//",
}


def test_the_settings_report_of_a_shared_app_has_no_secrets() -> None:
    shared: Any = Celery("shop", set_as_current=False)
    shared.config_from_object(SimpleNamespace(**{**CONFIDENTIAL, "CELERY_BROKER_URL": BROKER}), namespace="CELERY")
    configure(shared)
    told = [
        shared.bugreport(),  # celery report
        json.dumps(shared.conf.table(with_defaults=True), default=repr),  # celery inspect conf
        shared.conf.humanize(),
    ]
    for text in told:
        assert not any(secret in text for secret in SECRETS)
    assert "partner.example" in told[1]


def test_the_settings_report_of_the_engines_app_has_no_secrets(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, **CONFIDENTIAL["SAGAS"], "CELERY": {"broker_use_ssl": {"keyfile": "/k"}}}
    engine = make_app()
    for text in (engine.bugreport(), json.dumps(engine.conf.table(with_defaults=True), default=repr)):
        assert not any(secret in text for secret in SECRETS)
