"""Findings: what was found is kept from when it was first seen until it is not found any more, or a person repairs it.

What a part of a pass has found is written in one transaction. A pass that is killed in between writes it the next time;
of two passes at once each writes the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models.functions import Now

from orders.reconciliation import checking
from orders.reconciliation.invariants import BY_NAME
from orders.reconciliation.models import Finding
from sagas.db import array
from sagas.invariants import RepairRefused, Violation

#: What is found is not written if it was resolved after it was looked for.
_WRITE = """
INSERT INTO orders_finding AS f (invariant, key, row, run_id, data, first_seen, last_seen, repaired_by, reason)
SELECT v.invariant, v.key, v.row, v.run_id, v.data, %(at)s, %(at)s, '', ''
FROM unnest(%(invariants)s::text[], %(keys)s::text[], %(rows)s::text[], %(runs)s::uuid[], %(data)s::text[]::jsonb[])
    AS v(invariant, key, row, run_id, data)
WHERE NOT EXISTS (SELECT FROM orders_finding AS past WHERE past.invariant = v.invariant AND past.key = v.key
    AND past.row = v.row AND past.resolved_at >= %(at)s)
ORDER BY 1, 2, 3
ON CONFLICT (invariant, key, row) WHERE resolved_at IS NULL
DO UPDATE SET last_seen = GREATEST(f.last_seen, EXCLUDED.last_seen), data = f.data || EXCLUDED.data
RETURNING invariant, xmax = 0
"""
_RESOLVE = """
UPDATE orders_finding SET resolved_at = clock_timestamp() WHERE resolved_at IS NULL AND last_seen < %(at)s
AND invariant = ANY(%(invariants)s::text[]) AND key = ANY(%(keys)s::text[])
"""


def clock() -> datetime:
    """The database's time, before something is looked for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)
    return now


def record(keys: Sequence[str], invariants: Collection[str], violations: Sequence[Violation], at: datetime) -> set[str]:
    """Write what was found at these keys, and resolve what was not found any more; in the caller's transaction.

    Args:
        keys: what was asked about.
        invariants: the names of what was asked.
        violations: what was found.
        at: the database's time before it was looked for.

    Returns:
        The invariants of which something was found for the first time.
    """
    new: set[str] = set()
    with connection.cursor() as cursor:
        if violations:
            params = {
                "at": at,
                "invariants": array(v.invariant for v in violations),
                "keys": array(v.key[:255] for v in violations),
                "rows": array(v.row[:255] for v in violations),
                "runs": array(v.run_id for v in violations),
                "data": array(json.dumps(dict(v.data)) for v in violations),
            }
            cursor.execute(_WRITE, params)
            new = {invariant for invariant, is_new in cursor.fetchall() if is_new}
        cursor.execute(_RESOLVE, {"at": at, "invariants": array(invariants), "keys": array(keys)})
    return new


def violation_of(finding: Finding) -> Violation:
    """What was found."""
    return Violation(finding.invariant, finding.key, finding.row, finding.run_id, finding.data)


def describe(finding: Finding) -> tuple[str, str]:
    """What a finding says, and what would put it right."""
    invariant, violation = BY_NAME.get(finding.invariant), violation_of(finding)
    if invariant is None:
        return json.dumps(finding.data), ""
    return invariant.describe(violation), invariant.propose(violation)


def repair(*, finding_id: int, reason: str, by: str) -> None:
    """Repair what was found, and check that it is right now; all of it is one transaction.

    Raises:
        RepairRefused: no reason was given, nothing but a person can repair it, it is resolved, or it would be wrong.
    """
    if not reason.strip() or not by.strip():
        msg = "Say why it is repaired, and who repairs it."
        raise RepairRefused(msg)
    with transaction.atomic():
        # Not the finding's lock first: what the repair locks is what everybody else locks.
        finding = Finding.objects.filter(pk=finding_id, resolved_at=None).first()
        invariant = BY_NAME.get(finding.invariant) if finding else None
        if finding is None or invariant is None:
            msg = "It is resolved already."
            raise RepairRefused(msg)
        if invariant.repair is None:
            msg = f"No program knows what is right. {invariant.advice}"
            raise RepairRefused(msg)
        fresh = [v for v in checking.check([finding.key], [invariant]) if v.row == finding.row]
        if fresh:
            invariant.repair.make(fresh[0], reason=reason.strip(), by=by)
            if any(v.row == finding.row for v in checking.check([finding.key], [invariant])):
                msg = "It would not be right afterwards: repair what else was found about this row first."
                raise RepairRefused(msg)
        Finding.objects.filter(pk=finding.pk, resolved_at=None).update(
            resolved_at=Now(), repaired_by=by[:150] if fresh else "", reason=reason.strip()[:500] if fresh else ""
        )
