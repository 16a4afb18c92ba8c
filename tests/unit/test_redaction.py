"""Passwords in URLs are shown nowhere, however the URL is written."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from sagas.conf import Misconfigured, parse_settings
from sagas.redaction import redact, redact_all
from tests.support import servers

URLS = [
    "amqp://shop:p4ss@rabbit:5672//",
    "amqps://shop:p4ss@rabbit/vhost?heartbeat=5",
    "redis://:p4ss@cache:6379/0",
    "rediss://default:p4ss%2F@cache/0",
    "postgresql://shop:p4ss/word@db:5432/shop",
    "postgresql://shop:p4ss@word@db:5432/shop",
    "https://me:p4ss@shop.example/admin/",
    "amqp://a:p4ss@one//;amqp://b:p4ss@two//",
    "['amqp://a:p4ss@one//', 'amqp://b:p4ss@two//']",
    "Cannot connect to amqp://a:p4ss@one//: refused. Then redis://:p4ss@cache was tried.",
    "redis://cache/0?password=p4ss&db=1",
    "https://h.example/hook?access_token=p4ss",
]


@pytest.mark.parametrize("text", URLS)
def test_a_password_is_hidden_and_the_host_is_not(text: str) -> None:
    hidden = redact(text)
    assert "p4ss" not in hidden
    assert "***" in hidden
    for host in ("rabbit", "cache", "@db", "shop.example", "one", "two", "h.example"):
        assert (host in hidden) is (host in text)


@pytest.mark.parametrize("text", ["", "no URL", "amqp://rabbit:5672//", "mail me@shop.example: soon", "12:30 a@b"])
def test_a_url_without_a_password_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_urls_at_any_depth_are_redacted() -> None:
    value = {"one": [URLS[0], (URLS[1], {"two": URLS[2]})], "three": 3, "four": None}
    assert "p4ss" not in json.dumps(redact_all(value))
    assert redact_all(value)["three"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"REDIS_URL": "http://:p4ss@cache"},
        {"REDIS_URL": "redis://:p4ss@cache", "TICK": -1},
        {"BROKER_URL": "redis://:p4ss@cache"},
        {"BROKER_URL": "amqp://shop:p4ss/word@rabbit//"},
        {"BROKER_URL": ["amqp://a:p4ss@one//", "sqs://b:p4ss@"]},
        {"BROKER_URL": {"p4ss": 1}},
        {"ESCALATION_URLS": "slack://p4ss"},
        {"ADMIN_URL": "ftp://me:p4ss@shop.example/"},
        {"CALLBACK_SECRET": "p4ss"},
        {"CELERY": "p4ss"},
    ],
    ids=str,
)
def test_refused_settings_are_shown_without_their_secrets(wrong: dict[str, object]) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_settings({"QUEUES": ["orders"], **wrong})
    assert "p4ss" not in str(refused.value)


def test_the_settings_of_the_engine_have_no_secrets_in_their_repr() -> None:
    config = parse_settings(
        {
            "QUEUES": ["orders"],
            "REDIS_URL": "redis://:p4ss@cache",
            "BROKER_URL": "amqp://a:p4ss@one//",
            "ESCALATION_URLS": ["slack://p4ss/p4ss/p4ss"],
            "ADMIN_URL": "https://me:p4ss@shop.example/admin/",
            "CALLBACK_SECRET": f"whsec_{base64.b64encode(b'p4ss' * 8).decode()}",
            "CELERY": {"broker_use_ssl": {"keyfile": "p4ss"}},
        }
    )
    for secret in ("p4ss", "whsec_"):
        assert secret not in repr(config)


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_shops_log_has_no_passwords_in_lines_arguments_and_tracebacks(form: str) -> None:
    program = """
import logging, logging.config
import structlog
from drinkgroup.logs import logging_config
logging.config.dictConfig(logging_config(level="DEBUG", fmt=%r))
url = "amqp://shop:p4ss@rabbit:5672//"
logging.getLogger("kombu").error("cannot connect to %%s", url)
structlog.get_logger("shop").warning("away", broker=url, urls=[url], more={"redis": "redis://:p4ss@cache"})
try:
    raise OSError(f"no answer from {url}")
except OSError:
    logging.getLogger("shop").exception("it broke")
"""
    done = subprocess.run(
        [sys.executable, "-c", program % form], cwd=servers.ROOT, capture_output=True, text=True, check=True
    )
    told = done.stdout + done.stderr
    assert "p4ss" not in told
    assert told.count("rabbit") >= 3
