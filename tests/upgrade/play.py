"""Migrate the databases of ``before``, end all their runs, and print as JSON how they ended.

``python -m tests.upgrade.play``; with the argument ``lost``, the messages of ``before`` are lost.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - Django is set up first
from django.db import connections, transaction  # noqa: E402

import sagas  # noqa: E402
from sagas import Saga  # noqa: E402
from sagas.engine.outside.remote_threads import drain_remote_calls  # noqa: E402
from sagas.errors import SagaError  # noqa: E402
from sagas.messaging.consumer import first_time  # noqa: E402
from sagas.selectors import run_view  # noqa: E402
from tests.support import broker  # noqa: E402
from tests.upgrade import BEFORE  # noqa: E402
from tests.upgrade import sagas as definitions  # noqa: E402
from tests.upgrade.worker import (  # noqa: E402
    EVENTS_QUEUE,
    Message,
    System,
    dispatch,
    let_time_pass,
    listen,
    perform,
    query,
    ready,
    taken,
)

#: Passes after which a run that has not ended is taken to be stranded.
LIMIT = 40
#: Seconds within which the other system answers.
PATIENCE = 60.0


def main(*, lost: bool) -> dict[str, Any]:
    """End all runs; return how they ended, their effects, and what is in the other tables."""
    before = json.loads((BEFORE / "messages.json").read_text())
    messages: list[Message] = [] if lost else before["messages"]
    ids = {name: UUID(run_id) for name, (run_id, _) in before["runs"].items()}
    for alias in ("default", "loyalty"):
        call_command("migrate", database=alias, verbosity=0)
    call_command("sagas", "topology", verbosity=0)
    ready()
    listen()
    _give_time_to_pay()
    for run_id in ids.values():
        run_view(run_id)
    waiting = dict(query("SELECT run_id, min(position) FROM sagas_outbox GROUP BY run_id"))
    with System().running() as system:
        system.may_answer.set()
        os.environ["UPGRADE_POINTS_URL"] = system.url
        for message in messages:
            perform(message)
        _decide(ids)
        _settle(ids)
        ended = _standing(ids)
        # All messages are delivered once more, after all runs have ended.
        for message in messages:
            perform(message)
        _settle(ids)
    again = _standing(ids)
    heard = [sagas.Event.from_json(message["body"]) for message in taken(EVENTS_QUEUE)]
    sagas.erase(business_key="succeeded", by="mei")
    return {
        **ended,
        "heard of": {
            name: [[event.position for event in heard if event.run_id == ids[name]], waiting[ids[name]]]
            for name in ids
            if ids[name] in waiting
        },
        "erased": _one(query("SELECT request->>'customer' FROM sagas_run WHERE id = %s", [ids["succeeded"]])),
        "changed by late messages": [name for name, found in ended.items() if found != again[name]],
        "asked": system.asked,
        "other shapes": _other_shapes(),
        "queues": [*broker.queue_names(""), EVENTS_QUEUE],
        "taken by the mailer": [_first_time(message) for message in before["events"]],
    }


def _give_time_to_pay() -> None:
    """Move the deadlines of orders: they are paid when all messages have been performed, however long that takes."""
    query(
        "UPDATE sagas_run SET started_at = started_at + interval '1 hour', deadline = deadline + interval '1 hour' "
        "WHERE saga = 'orders.PlaceOrder'"
    )


def _decide(ids: dict[str, UUID]) -> None:
    """Do what operators, other systems and customers do after the upgrade."""
    sagas.report(ids["accepted"], "right", definitions.REPORT)
    sagas.cancel(ids["waiting"], reason="too slow")
    for name in ("half confirmed", "order waiting", "child waiting: child"):
        _confirm(ids[name])
    for name in ("confirm that breaks", "undo that breaks", "broken behind the pivot", *_BROKEN):
        sagas.resume(ids[name], by="bo", note="mended")
    sagas.resolve(ids["ended by hand"], outcome=sagas.State.FAILED, by="bo", note="undone by hand")


_BROKEN = ("broken 1", "broken 2", "broken 3")


def _confirm(run_id: UUID) -> None:
    """Give all confirmations that a run still waits for."""
    for name in ("approval", "payment"):
        with suppress(SagaError):
            sagas.confirm(run_id, name, {})


def _settle(ids: dict[str, UUID]) -> None:
    """Perform all messages and skip all waits until every run has ended or is escalated."""
    for _ in range(LIMIT):
        while messages := [m for m in taken() if not m["queue"].startswith("sagas.deadline")]:
            for message in messages:
                perform(message)
        dispatch(tick=True)
        # The other system answers in its own time, and no wait for it may end before.
        assert drain_remote_calls(PATIENCE)
        query("UPDATE sagas_breaker SET probe_at = now()")
        with suppress(SagaError):
            sagas.report(ids["forked"], "right", definitions.REPORT)
        states = _states()
        for run_id, state in states.items():
            if state == "AWAITING_CONFIRM":
                _confirm(run_id)
        live = [run_id for run_id, state in states.items() if state not in {"SUCCEEDED", "FAILED", "ESCALATED"}]
        if not live:
            return
        let_time_pass(*live)
    standing = {name: _states()[run_id] for name, run_id in ids.items()}
    msg = f"not at an end: {standing}"
    raise AssertionError(msg)


def _states() -> dict[UUID, str]:
    return dict(query("SELECT id, state FROM sagas_run ORDER BY due_at"))


def _standing(ids: dict[str, UUID]) -> dict[str, Any]:
    states = _states()
    runs = {
        name: {
            "state": states[run_id],
            "because": _one(query("SELECT reason->>'code' FROM sagas_run WHERE id = %s", [run_id])),
            "here": _names(query("SELECT name FROM upgrade_effect WHERE run_id = %s ORDER BY ctid", [run_id])),
            "there": _names(
                query(
                    "SELECT name FROM upgrade_effect WHERE run_id = %s ORDER BY ctid", [run_id], connections["loyalty"]
                )
            ),
            "log": _names(
                query(
                    "SELECT step || '.' || operation FROM sagas_log WHERE run_id = %s AND outcome = 'DONE' ORDER BY id",
                    [run_id],
                )
            ),
        }
        for name, run_id in ids.items()
    }
    return {
        "runs": runs,
        "unknown runs": len(states) - len(runs),
        "stock": query("SELECT available, held, sold FROM inventory_batch"),
        "slots": query("SELECT available, held, sold FROM delivery_slot"),
        "coupons used": _names(query("SELECT coupon_id FROM coupons_grant WHERE state = 'USED' ORDER BY coupon_id")),
        "orders": dict(query("SELECT order_no, status FROM orders_order")),
        "open escalations": _one(query("SELECT count(*) FROM sagas_escalation WHERE resolved_at IS NULL")),
        "open breakers": _one(query("SELECT count(*) FROM sagas_breaker WHERE closed_at IS NULL")),
        "locks": _one(query("SELECT count(*) FROM sagas_lock")),
        "unpublished events": _one(query("SELECT count(*) FROM sagas_outbox")),
    }


def _other_shapes() -> list[str]:
    """Return the sagas whose shape has another number now than in the runs and messages of ``before``."""
    stored = {(name, number) for name, number in query("SELECT saga, shape FROM sagas_definition")}
    sagas_of_today = [
        found for found in vars(definitions).values() if isinstance(found, type) and issubclass(found, Saga)
    ]
    return sorted(
        saga.definition.name
        for saga in sagas_of_today
        if saga is not Saga and (saga.definition.name, saga.definition.shape.number) not in stored
    )


def _first_time(message: Message) -> bool:
    event = sagas.Event.from_json(message["body"])
    with transaction.atomic():
        return first_time("mailer", event.id)


def _one(rows: Iterable[tuple[Any, ...]]) -> Any:
    ((value,),) = rows
    return value


def _names(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return [str(name) for (name,) in rows]


if __name__ == "__main__":
    print(json.dumps(main(lost="lost" in sys.argv[1:])))
