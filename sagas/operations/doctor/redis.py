"""Probes of Redis: whether it answers and accepts writes, and whether the engine's keys are in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sagas.conf import config
from sagas.operations.doctor.finding import Finding, Severity
from sagas.redis import (
    client as redis_client,
)
from sagas.redis import (
    compensation_guard,
    kicks,
)
from sagas.remote import circuit
from sagas.requirements.software import server

if TYPE_CHECKING:
    from redis import Redis

#: The key that the doctor writes. It expires after a millisecond.
_TRIAL = "sagas:doctor"
#: The most keys that are examined, and the seconds within which Redis must answer.
_MANY = 2_000
_TIMEOUT = 1.0
#: A Redis that evicts nothing is reported from this share of its memory on.
FULL = 0.9
#: The engine writes by commands and by Lua scripts: the doctor tries both.
_WRITE = "return redis.call('SET', KEYS[1], '1', 'PX', 1)"


def reach() -> Iterator[Finding]:
    """Report whether Redis answers and accepts writes, and keys that no worker of the engine can have written."""
    try:
        client = redis_client.client(_TIMEOUT)
        if client is None:
            yield Finding(Severity.FINE, "No Redis is configured: runs begin at the next tick instead of at once.")
            return
        client.ping()
    except redis_client.errors() as error:
        what = f"Redis does not answer ({redis_client.said(error)}): runs begin up to {config().tick:g} s later."
        yield Finding(Severity.WARNING, what, remedy="Check SAGAS['REDIS_URL'] and that the server runs.")
        return
    yield from _version(client)
    try:
        client.set(_TRIAL, 1, px=1)
        client.eval(_WRITE, 1, _TRIAL)
    except redis_client.errors() as error:
        what = f"Redis refuses writes ({redis_client.said(error)}): runs begin up to {config().tick:g} s later."
        remedy = (
            "Give the URL of a server that may be written to: no replica, with memory left, not a cluster, and with "
            "a user who may use all commands on sagas:*."
        )
        yield Finding(Severity.WARNING, what, remedy=remedy)
        return
    try:
        strange = list(_strange(client))
    except redis_client.errors() as error:
        yield Finding(Severity.WARNING, f"The engine's keys in Redis cannot be read ({redis_client.said(error)}).")
        return
    for key, what in strange[:10]:
        yield Finding(
            Severity.WARNING,
            f"In Redis, {key} is {what}: no worker waits for it longer than a tick, or the pause of its circuit.",
            remedy=f"Delete it (redis-cli DEL {key}), and find out who else uses this Redis database.",
        )
    if len(strange) > 10:
        yield Finding(Severity.WARNING, f"So are {len(strange) - 10} other keys of the engine in Redis.")
    yield from _memory(client)
    if not strange:
        yield Finding(Severity.FINE, "Redis answers.")


def _version(client: Redis) -> Iterator[Finding]:
    try:
        info: Any = client.info("server")
    except redis_client.errors():
        return  # the Redis user lacks the permission
    if lack := server("Redis", str(info.get("redis_version", ""))):
        yield Finding(Severity.WARNING, lack.what, remedy=lack.remedy)


def _memory(client: Redis) -> Iterator[Finding]:
    """Report a Redis that will soon refuse writes, because its memory is full."""
    try:
        info: Any = client.info("memory")
    except redis_client.errors():
        return  # the Redis user lacks the permission
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and info.get("maxmemory_policy") == "noeviction" and used > FULL * most:
        yield Finding(
            Severity.WARNING,
            f"Redis has used {used / most:.0%} of its maxmemory, and evicts nothing (maxmemory-policy noeviction): "
            f"soon it refuses kicks, and runs begin up to {config().tick:g} s later.",
            remedy="Give it more memory, or set maxmemory-policy to allkeys-lru: the engine can lose any of its keys.",
        )


def _strange(client: Redis) -> Iterator[tuple[str, str]]:
    """Find keys that are not as the engine writes them, each with a description."""
    for key in (kicks.KICK, kicks.ASKED):
        yield from _judge(client, key)
    seen = 0
    for prefix in (circuit.PREFIX, compensation_guard.PREFIX):
        for raw in client.scan_iter(match=f"{prefix}*", count=1_000):
            if seen >= _MANY:
                return
            seen += 1
            yield from _judge(client, raw.decode(errors="replace"))


def _judge(client: Redis, key: str) -> Iterator[tuple[str, str]]:
    found: Any = client.type(key)
    kind = found.decode()
    if kind == "none":
        return
    is_list = key == kicks.KICK or (key.startswith(circuit.PREFIX) and key.endswith(circuit.CALLS))
    wanted = "list" if is_list else "hash" if key.startswith(circuit.PREFIX) else "string"
    if kind != wanted:
        yield key, f"a {kind}, and should be a {wanted}"
        return
    if key == kicks.KICK:
        # A kick is pushed before the list is trimmed: for a moment there may be several.
        if (waiting := _number(client.llen(key))) > 10:
            yield key, f"a list of {waiting:g}, and should have one element"
        return
    left = _number(client.pttl(key)) / 1000
    if left == -0.002:
        return  # the key has expired meanwhile
    longest = {kicks.ASKED: config().tick}.get(key, config().guard_ttl if wanted == "string" else float("inf"))
    if left < 0:
        yield key, "a key that stays for ever"
    elif left > longest:
        yield key, f"a key that stays for {left:.0f} s, and should for {longest:g} s at most"
    elif wanted == "hash":
        yield from _judge_circuit(client, key, left)


def _judge_circuit(client: Redis, key: str, left: float) -> Iterator[tuple[str, str]]:
    """Find times in a circuit's hash that lie after its expiry: the engine writes none."""
    fields: Any = client.hgetall(key)
    for name, raw in fields.items():
        try:
            ahead = float(raw) / 1000 - time.time()
        except ValueError:
            yield key, f"a hash whose {name.decode(errors='replace')} is no time"
            continue
        # One minute is allowed for a difference between the clocks of this machine and of Redis.
        if not ahead <= left + 60:
            yield key, f"a hash whose {name.decode(errors='replace')} is too far ahead"


def _number(found: Any) -> float:
    return float(found)
