"""One measurement each: throughput and idle latency, of the bare chain and of ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from django.db import connection

import sagas
from bench import bare, ours, workload
from bench.workers import workers

TIMEOUT = 300.0


@dataclass(frozen=True)
class Throughput:
    """Rates of one load of orders.

    Attributes:
        forward: runs a second, from the first claim to the last run's AWAITING_CONFIRM.
        finish: runs a second, from the first claim of confirmed runs to the last run's SUCCEEDED.
        whole: runs a second over both.
        commits: database commits a run, over both.
        messages: messages a run, over both.
    """

    forward: float
    finish: float
    whole: float
    commits: float
    messages: float


def bare_throughput(count: int, logs: Path) -> float:
    """Chains a second through one worker with two prefork children; all are published before it starts."""
    client = _client()
    client.delete(bare.BEGAN, bare.ENDED)
    with bare.app.connection_for_write() as broker, broker.channel() as channel:
        bare.app.amqp.queues[bare.QUEUE](channel).declare()
    for _ in range(count):
        bare.publish()
    with workers("bench.bare", processes=1, concurrency=2, logs=logs):
        _until(lambda: client.llen(bare.ENDED) >= count)
    return count / (max(_times(client, bare.ENDED)) - min(_times(client, bare.BEGAN)))


def bare_latency(samples: int, logs: Path) -> list[float]:
    """Milliseconds from before a chain is published to its fourth task, one at a time."""
    client = _client()
    found: list[float] = []
    with workers("bench.bare", processes=1, concurrency=2, logs=logs):
        for number in range(samples + _WARMUP):
            client.delete(bare.ENDED)
            began = time.time()
            bare.publish()
            _until(lambda: client.llen(bare.ENDED) == 1, pause=0.002)
            if number >= _WARMUP:
                found.append((_times(client, bare.ENDED)[0] - began) * 1000)
    return found


def order_throughput(name: str, count: int, logs: Path, *, hot: bool) -> Throughput:
    """Orders a second through two workers of one prefork child each, to AWAITING_CONFIRM and on to SUCCEEDED."""
    load = workload.prepare(name, count, hot=hot)
    client = _client()
    client.delete(ours.MESSAGES)
    commits = _commits()
    forward = _drain(load, "AWAITING_CONFIRM", logs)
    spent = _commits() - commits
    workload.confirm(load)
    commits = _commits()
    finish = _drain(load, "SUCCEEDED", logs)
    spent += _commits() - commits
    workload.check(load)
    counted = client.get(ours.MESSAGES)
    messages = int(counted) if isinstance(counted, bytes) else 0
    return Throughput(
        forward=count / forward,
        finish=count / finish,
        whole=count / (forward + finish),
        commits=spent / count,
        messages=messages / count,
    )


def order_latency(samples: int, logs: Path, *, name: str) -> list[float]:
    """Milliseconds from a run's insert to its fourth step, one at a time, both by the database's clock."""
    found: list[float] = []
    with workers("bench.ours", processes=2, concurrency=1, logs=logs):
        for number in range(samples + _WARMUP):
            load = workload.prepare(f"{name}-{number}", 1, hot=False)
            _until(lambda load=load: _standing(load, "AWAITING_CONFIRM") == 1, pause=0.01)  # type: ignore[misc]
            if number >= _WARMUP:
                found.append(_latency(load))
            sagas.cancel(load.ids[0])
            _until(lambda load=load: _standing(load, "FAILED") == 1, pause=0.01)  # type: ignore[misc]
    return found


_WARMUP = 10


def _drain(load: workload.Load, state: str, logs: Path) -> float:
    """Seconds from the first claim until all runs of the load have reached ``state``."""
    client = _client()
    client.delete(ours.BEGAN)
    with workers("bench.ours", processes=2, concurrency=1, logs=logs):
        _until(lambda: _standing(load, state) == len(load.ids), pause=0.1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM max(at))::float8 FROM sagas_log WHERE run_id = ANY(%s::uuid[])", [load.ids]
        )
        (ended,) = cursor.fetchone()
    return float(ended) - min(_times(client, ours.BEGAN))


def _standing(load: workload.Load, state: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_run WHERE id = ANY(%s::uuid[]) AND state = %s", [load.ids, state])
        (count,) = cursor.fetchone()
    return int(count)


def _latency(load: workload.Load) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM max(at) - min(at))::float8 * 1000 FROM sagas_log WHERE run_id = %s",
            [load.ids[0]],
        )
        (milliseconds,) = cursor.fetchone()
    return float(milliseconds)


def _commits() -> int:
    with connection.cursor() as cursor:
        # A session reports what it did within a second of its end; workers have ended when this is asked.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        (count,) = cursor.fetchone()
    return int(count)


def _client() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def _times(client: redis.Redis, key: str) -> list[float]:
    return [float(text) for text in client.lrange(key, 0, -1)]


def _until(condition: Callable[[], bool], *, pause: float = 0.02) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            msg = f"the benchmark's load was not worked off in {TIMEOUT:g} s"
            raise RuntimeError(msg)
        time.sleep(pause)
