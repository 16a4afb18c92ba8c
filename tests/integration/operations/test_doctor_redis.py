"""What the doctor says of Redis: keys that no worker has left there, and servers that take nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from django.conf import settings

from sagas.operations.doctor import redis

pytestmark = pytest.mark.usefixtures("alone")

Client = redis_py.Redis


def doctor() -> list[str]:
    said: list[str] = []
    for finding in redis.reach():
        said.append(f"{finding.severity} {finding.what}")
        said.append(finding.remedy)
    return said


def test_doctor_finds_nothing_in_an_empty_redis() -> None:
    assert doctor() == ["fine Redis answers.", ""]


@pytest.mark.parametrize(
    ("key", "plant", "said"),
    [
        ("sagas:dispatch", lambda r, key: r.set(key, 1), "a key that stays for ever"),
        (
            "sagas:dispatch",
            lambda r, key: r.set(key, 1, ex=99),
            "a key that stays for 99 s, and should for 1 s at most",
        ),
        ("sagas:dispatch", lambda r, key: r.hset(key, "a", "b"), "a hash, and should be a string"),
        ("sagas:kick", lambda r, key: r.set(key, 1), "a string, and should be a list"),
        ("sagas:kick", lambda r, key: r.rpush(key, *range(99)), "a list of 99, and should have one element"),
        ("sagas:undo:1:two", lambda r, key: r.set(key, "1:x"), "a key that stays for ever"),
        ("sagas:circuit:points", lambda r, key: r.hset(key, "open_until", "1"), "a key that stays for ever"),
        ("sagas:circuit:points:calls", lambda r, key: r.set(key, "1"), "a string, and should be a list"),
    ],
)
def test_doctor_reports_keys_that_no_worker_has_written(
    key: str, plant: Callable[[Any, str], object], said: str
) -> None:
    with Client.from_url(settings.SAGAS["REDIS_URL"]) as client:
        plant(client, key)
        lines = doctor()
        client.delete(key)
    wrong = (
        f"warning In Redis, {key} is {said}: no worker waits for it longer than a tick, or the pause of its circuit."
    )
    assert wrong in lines
    assert any(line.startswith(f"Delete it (redis-cli DEL {key})") for line in lines)


def test_doctor_reports_a_circuit_that_is_open_far_too_long() -> None:
    with Client.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.hset("sagas:circuit:points", "open_until", "9" * 15)
        client.expire("sagas:circuit:points", 60)
        lines = doctor()
    assert any("sagas:circuit:points is a hash whose open_until is too far ahead" in line for line in lines)


def test_doctor_reports_a_redis_that_refuses_writes() -> None:
    with Client.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.config_set("maxmemory", 1)
        try:
            lines = doctor()
        finally:
            client.config_set("maxmemory", 0)
    assert any(line.startswith("warning Redis refuses writes (OutOfMemoryError") for line in lines)


@pytest.mark.parametrize(("policy", "told"), [("noeviction", True), ("allkeys-lru", False)])
def test_doctor_reports_a_redis_that_will_soon_refuse_writes(policy: str, told: bool) -> None:
    with Client.from_url(settings.SAGAS["REDIS_URL"]) as client:
        info: Any = client.info("memory")
        before: Any = client.config_get("maxmemory-policy")
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", int(info["used_memory"]) + 100_000)
        try:
            lines = doctor()
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", before["maxmemory-policy"])
    assert any("of its maxmemory, and evicts nothing" in line for line in lines) is told
