"""Policies of RabbitMQ that take messages away from the engine's queues, as the doctor sees them by its API."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from private_services import ports
from private_services.instance import Instance
from private_services.rabbitmq import RabbitMQ
from pytest_django import Settings

from sagas.messaging.app import engine_app
from sagas.operations.doctor import Finding, Severity, broker
from tests.support import servers
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("topology")


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The management API of the session's RabbitMQ, for this module."""
    server: Any = RabbitMQ(Instance(servers.directory()))
    environment = server._environment()
    tool = "/usr/lib/rabbitmq/bin/rabbitmq-plugins"
    port = ports.choose(taken=())
    listener = f'application:set_env(rabbitmq_management, tcp_config, [{{port, {port}}}, {{ip, "127.0.0.1"}}]).'
    servers.rabbitmqctl("-q", "eval", listener)
    subprocess.run([tool, "-q", "enable", "rabbitmq_management"], env=environment, check=True, capture_output=True)
    user, _, password = server.url.removeprefix("amqp://").partition("@")[0].partition(":")
    servers.rabbitmqctl("-q", "set_user_tags", user, "monitoring")
    yield f"http://{user}:{password}@127.0.0.1:{port}"
    subprocess.run([tool, "-q", "disable", "rabbitmq_management"], env=environment, check=True, capture_output=True)


def look() -> list[Finding]:
    with engine_app().connection_for_write() as connection:
        return list(broker.policies(connection))


@pytest.mark.slow
def test_doctor_names_policies_that_weaken_the_queues(api: str, settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "BROKER_API_URL": api}
    assert [finding.what for finding in look()] == ["No policy of RabbitMQ removes messages from the engine's queues."]
    # Given somebody's policy for all queues
    definition = '{"message-ttl": 3600000, "expires": 3600000, "max-length": 1000000, "delivery-limit": 2}'
    servers.rabbitmqctl("-q", "set_policy", "--apply-to", "queues", "trial", ".*", definition)
    named = {"message-ttl", "expires", "max-length", "delivery-limit 2"}

    def all_are_named() -> bool:
        # RabbitMQ applies it to one queue after the other.
        errors = [one.what.partition(":")[0] for one in look() if one.severity is Severity.ERROR]
        on = {queue: {f"A policy sets {key} on {queue}" for key in named} for queue in ("orders", "sagas.cancel")}
        return all(said <= set(errors) for said in on.values())

    # Then each is named, on each queue
    try:
        assert eventually(all_are_named, what="the policy")
    finally:
        servers.rabbitmqctl("-q", "clear_policy", "trial")


@pytest.mark.parametrize(
    ("policy", "severities"),
    [
        ({}, []),
        ({"ha-mode": "all"}, []),
        ({"delivery-limit": 200}, []),
        ({"delivery-limit": 5}, [Severity.ERROR]),
        ({"max-length-bytes": 1}, [Severity.ERROR]),
        ({"consumer-timeout": 60_000}, [Severity.WARNING]),
        ({"consumer-timeout": 7_200_000}, []),
    ],
)
def test_each_harmful_policy_has_a_message(policy: dict[str, Any], severities: list[Severity]) -> None:
    assert [finding.severity for finding in broker._judge("orders", policy)] == severities


@pytest.mark.parametrize("url", ["http://guest:hush@127.0.0.1:1", "http://guest:hush@127.0.0.1:1/rabbit/"])
def test_an_unreachable_api_is_reported_without_its_password(settings: Settings, url: str) -> None:
    settings.SAGAS = {**settings.SAGAS, "BROKER_API_URL": url}
    (finding,) = look()
    assert finding.severity is Severity.WARNING
    assert "cannot be read" in finding.what
    assert "hush" not in finding.what


def test_without_an_api_doctor_says_that_policies_are_not_checked(settings: Settings) -> None:
    (finding,) = look()
    assert (finding.severity, "not checked" in finding.what) == (Severity.FINE, True)
