"""Locked coupons, and the grants that a customer has of each: what is read before a grant is made or used.

Who locks a coupon may read the grants of it in the next statement: nobody makes, issues or uses one meanwhile. An undo
may replace one, which the next statement sees or not; both are right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from coupons.models import LIVE, GrantState
from sagas.db import array
from sagas.postgresql import prepared


@dataclass(frozen=True, slots=True)
class Locked:
    """A coupon as it is under its lock.

    Attributes:
        now: the database's clock after the lock.
    """

    code: str
    customer_id: int | None
    starts_at: datetime | None
    expires_at: datetime
    active: bool
    public: bool
    per_customer: int
    available: int
    now: datetime

    @property
    def is_personal(self) -> bool:
        """Whether it is for one customer."""
        return self.customer_id is not None


@dataclass(frozen=True, slots=True)
class Held:
    """A live grant of one customer."""

    id: int
    nth: int
    state: str
    lock_token: int | None
    expires_at: datetime | None
    issued_by_run: UUID | None


#: Which coupon, and whose grant of it.
Whose = tuple[str, int]

_LOCK = (
    "WITH locked AS MATERIALIZED (SELECT code, customer_id, starts_at, expires_at, active, public, per_customer, "
    "available FROM coupons_coupon WHERE code = ANY(%s::varchar[]) ORDER BY code FOR NO KEY UPDATE) "
    "SELECT *, clock_timestamp() FROM locked"
)
_READ = (
    "SELECT g.coupon_id, g.customer_id, g.id, g.nth, g.state, g.lock_token, g.lock_expires_at, g.issued_by_run "
    "FROM unnest(%s::varchar[], %s::int[]) AS v(coupon, customer) "
    "JOIN coupons_grant AS g ON g.customer_id = v.customer AND g.coupon_id = v.coupon "
    "WHERE g.state IN ('CREATED', 'ISSUED', 'USED', 'REFUNDING') ORDER BY g.lock_expires_at, g.id"
)
assert set(LIVE) == {"CREATED", "ISSUED", "USED", "REFUNDING"}


def lock(codes: Iterable[str]) -> dict[str, Locked]:
    """Lock these coupons in order; the clock is read after each lock, because the wait for one may be long."""
    with connection.cursor() as cursor:
        prepared.execute(cursor, _LOCK, [array(sorted(set(codes)))], rows=prepared.ANY)
        return {row[0]: Locked(*row) for row in cursor.fetchall()}


def read(whose: Iterable[Whose]) -> dict[Whose, list[Held]]:
    """The live grants of these customers, those first that expire first. Their coupons are locked."""
    wanted = sorted(set(whose))
    found: dict[Whose, list[Held]] = defaultdict(list)
    with connection.cursor() as cursor:
        params = [array(code for code, _ in wanted), array(customer for _, customer in wanted)]
        prepared.execute(cursor, _READ, params, rows=prepared.ANY)
        for coupon, customer, *rest in cursor.fetchall():
            found[coupon, customer].append(Held(*rest))
    return found


def usable(held: Held, now: datetime) -> bool:
    """Whether a grant can be used."""
    return held.state == GrantState.ISSUED and held.expires_at is not None and now < held.expires_at


def next_nth(taken: Iterable[int]) -> int:
    """The lowest number that none of a customer's live grants has."""
    numbers, nth = set(taken), 1
    while nth in numbers:
        nth += 1
    return nth
