"""The state of the database after a schedule, read once for the checks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sagas.states import State
from tests.simulator.session import Session
from tests.simulator.waiting import WAITS_FOR_FAMILY, WAITS_FOR_LOCK


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as far as the checks ask."""

    id: UUID
    saga: str
    version: int
    shape: int
    state: State
    cursor: int
    fork: int
    claims: int
    attempt: int
    due: bool
    finished: bool
    reason: dict[str, Any] | None
    results: dict[str, Any]
    request: dict[str, Any]
    events: int | None
    #: Whether it waits for a run that a person has.
    waits: bool
    #: When its deadlines began to count, as seconds of Unix time.
    started: float | None
    parent: UUID | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log."""

    step: str
    operation: str
    outcome: str
    data: Any
    #: Its number: of two, the lower was written first.
    id: int = 0
    #: When it was written, as seconds of Unix time.
    at: float = 0.0

    def __str__(self) -> str:
        return self.operation if self.outcome == "EVENT" else f"{self.step}.{self.operation} {self.outcome}"


@dataclass(frozen=True, slots=True)
class Escalation:
    """An escalation, open or not."""

    state: State
    step: str
    operation: str
    error: dict[str, Any]
    resolution: str
    open: bool
    told: bool


@dataclass(slots=True)
class Books:
    """All that a schedule has left, by run where it is of one."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    log: dict[UUID, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    confirmations: dict[UUID, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    escalations: dict[UUID, list[Escalation]] = field(default_factory=lambda: defaultdict(list))
    #: Effects as the participants left them, as "step.operation"; those in the second database too.
    marks: dict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: What the barrier in the second database says was done there, as (step, operation).
    passed: dict[UUID, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    #: (pool, key, step, quantity, state)
    holds: dict[UUID, list[tuple[str, str, str, int, str]]] = field(default_factory=lambda: defaultdict(list))
    #: (available, held, sold) by pool and key
    pools: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    #: (status, total in cents, lines)
    orders: dict[UUID, tuple[str, int | None, list[Any]]] = field(default_factory=dict)
    #: (state, why it is due back, whether a run returns it)
    payments: dict[UUID, list[tuple[str, str, bool]]] = field(default_factory=lambda: defaultdict(list))
    #: (coupon, state of the grant that the run uses or has used)
    redemptions: dict[UUID, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    #: (available, sold, granted)
    coupons: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    #: (position, name)
    events: dict[UUID, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    #: Rows of sagas_lock.
    locks: int = 0
    breakers: int = 0


_ENGINE = f"""
SELECT 'run', id, jsonb_build_array(saga, version, shape, state, cursor, fork, claims, attempt, due_at IS NOT NULL,
    finished_at IS NOT NULL, reason, results, request, events, {WAITS_FOR_LOCK} OR {WAITS_FOR_FAMILY},
    extract(epoch FROM started_at), parent_id)
    FROM sagas_run AS run WHERE id = ANY(%(ids)s::uuid[])
UNION ALL (SELECT 'log', run_id, jsonb_build_array(step, operation, outcome, data, id, extract(epoch FROM at))
    FROM sagas_log
    WHERE run_id = ANY(%(ids)s::uuid[]) ORDER BY id)
UNION ALL SELECT 'confirmation', run_id, jsonb_build_array(name, data) FROM sagas_confirmation
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'breaker', NULL,
    to_jsonb((SELECT count(*) FROM sagas_breakersample) + (SELECT count(*) FROM sagas_breaker))
"""
_PERSONS = """
UNION ALL (SELECT 'escalation', run_id, jsonb_build_array(state, step, operation, error, resolution,
    resolved_at IS NULL, notify_at IS NOT NULL) FROM sagas_escalation WHERE run_id = ANY(%(ids)s::uuid[]) ORDER BY id)
"""
_SHOP = """
UNION ALL SELECT 'hold', run_id, jsonb_build_array('sku', pool_key, step, quantity, state) FROM inventory_skuhold
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'hold', run_id, jsonb_build_array('slot', pool_key, step, quantity, state) FROM delivery_slothold
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'pool', NULL, jsonb_build_array('sku', key, available, held, sold) FROM inventory_batch
    WHERE key = 'tea-' || %(key)s
UNION ALL SELECT 'pool', NULL, jsonb_build_array('slot', id::text, available, held, sold) FROM delivery_slot
    WHERE id = %(slot)s
UNION ALL SELECT 'order', run_id, jsonb_build_array(status, total_cents, (SELECT COALESCE(jsonb_agg(
    jsonb_build_array(sku, quantity, unit_price_cents)), '[]') FROM orders_orderline AS l WHERE l.order_id = o.id))
    FROM orders_order AS o WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'payment', run_id, jsonb_build_array(state, reason, EXISTS (
    SELECT FROM payments_refund AS r JOIN sagas_run AS back ON back.id = r.id WHERE r.payment_id = p.id))
    FROM payments_payment AS p
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'redemption', used_by_run, jsonb_build_array(coupon_id, state) FROM coupons_grant
    WHERE used_by_run = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'coupon', NULL, jsonb_build_array(code, available, sold, (SELECT count(*) FROM coupons_grant
    WHERE coupon_id = code AND state IN ('ISSUED', 'USED', 'REFUNDING'))) FROM coupons_coupon
    WHERE code = ANY(%(coupons)s)
"""
_LAB = """
UNION ALL SELECT 'mark', run_id, jsonb_build_array(step, operation) FROM lab_mark WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'hold', run_id, jsonb_build_array('jar', pool_key, step, quantity, state) FROM lab_jarhold
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'pool', NULL, jsonb_build_array('jar', name, available, held, sold) FROM lab_jar
    WHERE name = 'jar-' || %(key)s
UNION ALL SELECT 'event', run_id, jsonb_build_array(position, name) FROM sagas_outbox
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'locks', NULL, to_jsonb(count(*)) FROM sagas_lock
"""
_AFAR = """
SELECT 'mark', run_id, jsonb_build_array(step, operation) FROM loyalty_stamp WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'passed', run_id, jsonb_build_array(step, operation) FROM sagas_barrier
    WHERE run_id = ANY(%(ids)s::uuid[]) AND outcome = 'DONE'
UNION ALL SELECT 'hold', run_id, jsonb_build_array('purse', pool_key, step, quantity, state) FROM loyalty_pursehold
    WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT 'pool', NULL, jsonb_build_array('purse', name, available, held, sold) FROM loyalty_purse
    WHERE name = 'jar-' || %(key)s
"""


def read(session: Session, ids: Sequence[UUID], *, key: str, slot: int, shop: bool, lab: bool, afar: bool) -> Books:
    """Read what these runs have left, in one statement a database."""
    books = Books()
    params = {
        "ids": "{" + ",".join(map(str, ids)) + "}",
        "key": key,
        "slot": slot,
        "coupons": [f"{name}-{key}" for name in ("shared", *"abcdefgh")],
    }
    rows = session.query(f"{_ENGINE}{_PERSONS}{_SHOP if shop else ''}{_LAB if lab else ''}", params)
    if afar:
        rows += session.query_elsewhere(_AFAR, params)
    for kind, run_id, row in rows:
        # Django takes jsonb as text.
        _take(books, kind, run_id, json.loads(row))
    return books


def _take(books: Books, kind: str, run_id: UUID, row: Any) -> None:
    if kind in {"pool", "coupon", "locks", "breaker"}:
        _take_of_all(books, kind, row)
        return
    match kind:
        case "run":
            books.runs[run_id] = _run(run_id, row)
        case "log":
            books.log[run_id].append(Entry(*row))
        case "confirmation":
            books.confirmations[run_id][row[0]] = row[1]
        case "escalation":
            books.escalations[run_id].append(Escalation(State(row[0]), *row[1:]))
        case "mark":
            books.marks[run_id].append(f"{row[0]}.{row[1]}")
        case "passed":
            books.passed[run_id].add((row[0], row[1]))
        case "hold":
            books.holds[run_id].append(tuple(row))
        case "order":
            books.orders[run_id] = tuple(row)
        case "payment":
            books.payments[run_id].append(tuple(row))
        case "redemption":
            books.redemptions[run_id].append(tuple(row))
        case "event":
            books.events[run_id].append(tuple(row))


def _take_of_all(books: Books, kind: str, row: Any) -> None:
    """What is no run's own."""
    match kind:
        case "pool":
            books.pools[row[0], row[1]] = tuple(row[2:])
        case "coupon":
            books.coupons[row[0]] = tuple(row[1:])
        case "locks":
            books.locks = row
        case "breaker":
            books.breakers = row


def _run(run_id: UUID, row: list[Any]) -> Run:
    saga, version, shape, state, *rest, parent = row
    values = (run_id, saga, version, shape, State(state), *rest, UUID(parent) if parent else None)
    return Run(*values)
