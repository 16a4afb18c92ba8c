"""The present engine ends the runs that an earlier version had in flight when its databases were dumped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from tests.conftest import SharedWorkers
from tests.support import broker, servers
from tests.support.databases import drop_database
from tests.support.driver import psycopg
from tests.upgrade import BEFORE, dump

DATABASE = "upgraded"

FORWARD = ["one.forward", "two.forward", "three.forward"]
CONFIRMED = [*FORWARD, "one.confirm", "three.confirm"]
UNDONE = [*FORWARD, "three.compensate", "two.compensate", "one.compensate"]
BOTH = ["one.forward", "left.forward", "right.forward", "four.forward"]
THERE = ["two.forward", "three.forward", "two.confirm"]

#: How each run ends: its state, why it was undone, and the effects that its participants recorded. Effects in the other
#: database are in ``THERE``; those of the shop's participants are in the shop's tables.
ENDS: dict[str, tuple[str, str | None, list[str]]] = {
    # EXECUTING; its last message was to begin it, to go on with it, came twice, was lost twice, is tried again
    "begun": ("SUCCEEDED", None, CONFIRMED),
    "halfway": ("SUCCEEDED", None, CONFIRMED),
    "done and delivered again": ("SUCCEEDED", None, CONFIRMED),
    "interrupted": ("SUCCEEDED", None, CONFIRMED),
    "retrying": ("SUCCEEDED", None, CONFIRMED),
    # PENDING
    "placed": ("SUCCEEDED", None, CONFIRMED),
    # AWAITING_CONFIRM; the third is over its deadline
    "waiting": ("FAILED", "Cancelled", UNDONE),
    "half confirmed": ("SUCCEEDED", None, CONFIRMED),
    "late": ("FAILED", "NotConfirmed", UNDONE),
    # CONFIRMING, claimed or not
    "confirming": ("SUCCEEDED", None, CONFIRMED),
    "half confirming": ("SUCCEEDED", None, CONFIRMED),
    # COMPENSATING
    "undoing": ("FAILED", "Cancelled", UNDONE),
    "rejected": ("FAILED", "SoldOut", ["one.forward", "one.compensate"]),
    "to be refunded": (
        "FAILED",
        "SoldOut",
        ["one.forward", "two.forward", "payment.compensate", "two.compensate", "one.compensate"],
    ),
    # Ended
    "succeeded": ("SUCCEEDED", None, CONFIRMED),
    "failed": ("FAILED", "Cancelled", ["one.forward", "two.forward", "two.compensate", "one.compensate"]),
    # ESCALATED, and resumed now; the third is resolved by hand
    "confirm that breaks": ("SUCCEEDED", None, CONFIRMED),
    "undo that breaks": ("FAILED", "Cancelled", UNDONE),
    "ended by hand": ("FAILED", "Cancelled", FORWARD),
    "broken behind the pivot": ("SUCCEEDED", None, FORWARD),
    # ESCALATED, and held back, by a breaker that is open
    "broken 1": ("SUCCEEDED", None, ["one.forward", "one.confirm"]),
    "broken 2": ("SUCCEEDED", None, ["one.forward", "one.confirm"]),
    "broken 3": ("SUCCEEDED", None, ["one.forward", "one.confirm"]),
    "behind a breaker": ("SUCCEEDED", None, ["one.forward", "one.confirm"]),
    # In a fork: a branch waits for a report, is done, is tried again
    "accepted": ("SUCCEEDED", None, BOTH),
    "forked": ("SUCCEEDED", None, BOTH),
    "branch retrying": (
        "FAILED",
        "NoReport",
        [*BOTH[:3], "right.forward", "right.forward", "right.compensate", "left.compensate", "one.compensate"],
    ),
    # The code has one step more today
    "changed": ("SUCCEEDED", None, ["one.forward", "two.forward"]),
    # At a business key
    "first in line": ("SUCCEEDED", None, ["one.forward"]),
    "second in line": ("SUCCEEDED", None, ["one.forward"]),
    # Parents and children
    "child begun": ("SUCCEEDED", None, ["one.forward", "four.forward"]),
    "child begun: child": ("SUCCEEDED", None, ["inner.forward", "inner.confirm"]),
    "child waiting": ("SUCCEEDED", None, ["one.forward", "four.forward"]),
    "child waiting: child": ("SUCCEEDED", None, ["inner.forward", "inner.confirm"]),
    "parent undoing": ("FAILED", "Cancelled", ["one.forward", "one.compensate"]),
    "parent undoing: child": ("FAILED", "Cancelled", ["inner.forward", "inner.compensate"]),
    # By events
    "travelling": ("SUCCEEDED", None, ["one.forward", "two.forward", "one.confirm"]),
    "travelling to its end": ("SUCCEEDED", None, ["one.forward", "two.forward", "one.confirm"]),
    # In another database, and in another system
    "afar": ("SUCCEEDED", None, ["one.forward"]),
    "done there and not here": ("SUCCEEDED", None, ["one.forward"]),
    "undone before it was done": ("FAILED", "Cancelled", ["one.forward", "one.compensate"]),
    "asked": ("SUCCEEDED", None, ["one.forward"]),
    # Orders of the shop
    "order begun": ("SUCCEEDED", None, []),
    "order waiting": ("SUCCEEDED", None, []),
    "order undoing": ("FAILED", "Cancelled", []),
    "order confirming": ("SUCCEEDED", None, []),
}


@pytest.fixture(
    params=[
        pytest.param(False, id="with its messages"),
        pytest.param(True, id="its messages lost", marks=pytest.mark.slow),
    ]
)
def ended(
    request: pytest.FixtureRequest,
    topology: None,
    shared_workers: SharedWorkers,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[dict[str, Any]]:
    """How all runs ended, with the messages that were in RabbitMQ or without them."""
    shared_workers.stop()
    broker.purge()
    with django_db_blocker.unblock():
        _make_databases()
        try:
            found = _played(lost=request.param)
            _delete_queues(set(found["queues"]) - set(broker.queue_names("")))
            yield found
        finally:
            broker.purge()
            _drop_databases()


def test_runs_from_an_earlier_version_end_correctly(ended: dict[str, Any]) -> None:
    before = json.loads((BEFORE / "messages.json").read_text())
    runs = ended["runs"]

    # Every run has ended with these effects, each once and in this order; branches of a fork come in any order
    assert {name: _end(run) for name, run in runs.items()} == {
        name: (state, because, sorted(effects) if "left.forward" in effects else effects)
        for name, (state, because, effects) in ENDS.items()
    }
    assert ended["unknown runs"] == 0
    # So have those with steps in the other database
    assert {name: run["there"] for name, run in runs.items() if run["there"]} == {
        "afar": THERE,
        "done there and not here": THERE,
    }
    # The other system was asked under the same key as before
    assert ended["asked"] == before["keys"]
    # A definition that has not changed is known by the same number as before
    assert ended["other shapes"] == ["upgrade.Changed"]
    # The shop adds up
    assert (ended["stock"], ended["slots"]) == ([[94, 0, 6]], [[97, 0, 3]])
    assert ended["coupons used"] == ["order begun", "order confirming", "order waiting"]
    assert ended["orders"] == {
        "order begun": "CONFIRMED",
        "order waiting": "CONFIRMED",
        "order undoing": "REJECTED",
        "order confirming": "CONFIRMED",
    }
    # Nothing is left to do
    assert not any(ended[what] for what in ("open escalations", "open breakers", "locks", "unpublished events"))
    # The events that waited were published, and those that followed, without a gap; one was taken before the upgrade
    for positions, first in ended["heard of"].values():
        assert positions == list(range(first, first + len(positions)))
    assert len(ended["heard of"]) >= 3
    assert ended["taken by the mailer"] == [False, True]
    # The old messages, delivered again after the end, change nothing
    assert ended["changed by late messages"] == []
    # What is personal can be erased
    assert ended["erased"] == "[erased]"


def _end(run: dict[str, Any]) -> tuple[str, str | None, list[str]]:
    effects = run["here"]
    return run["state"], run["because"], sorted(effects) if "left.forward" in effects else effects


def _played(*, lost: bool) -> dict[str, Any]:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{DATABASE}").geturl()
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrade.play", *(["lost"] if lost else [])],
        env={**servers.worker_environment(), "DATABASE_URL": url, "LAB_APPS": "tests.upgrade"},
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _delete_queues(names: Iterable[str]) -> None:
    """Delete queues that only these sagas need."""
    with broker.channel() as channel:
        for name in names:
            channel.queue_delete(name)


def _make_databases() -> None:
    _drop_databases()
    age = dump.age()
    for name, file in ((DATABASE, "default.sql"), (f"{DATABASE}_loyalty", "loyalty.sql")):
        _maintain(f'CREATE DATABASE "{name}"')
        opened = psycopg.connect(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl())
        with opened, opened.cursor() as cursor:
            cursor.execute(dump.as_if_made_now((BEFORE / file).read_text(), age))
        opened.close()


def _drop_databases() -> None:
    for name in (DATABASE, f"{DATABASE}_loyalty"):
        drop_database(_maintain, name)


def _maintain(sql: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(sql)
