"""Probes of the progress of runs: which make none, wait for a person, or have not begun."""

from __future__ import annotations

from collections.abc import Iterator

from sagas import store
from sagas.conf import config
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.doctor.query import one, rows


def stuck() -> Iterator[Finding]:
    """Report runs that were claimed several times."""
    # One claim is normal. A second claim without progress in between means that a lease has lapsed.
    count, worst = one("SELECT count(*), max(claims) FROM sagas_run WHERE due_at IS NOT NULL AND claims > 1")
    if count:
        yield Finding(
            Severity.ERROR,
            f"{count} run(s) make no progress: claimed up to {worst} of {config().lease_limit} times.",
            count,
            "Check whether every queue has a worker, and read the workers' logs.",
        )
    else:
        yield Finding(Severity.FINE, "Every live run makes progress.")


def lapsed() -> Iterator[Finding]:
    """Report runs that have begun and are overdue, because nobody claims them, and how many leases have lapsed."""
    count, age, leases = one(
        "SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8, "
        "count(*) FILTER (WHERE claims > 0) FROM sagas_run "
        "WHERE due_at <= now() - %s * interval '1 second' AND state <> 'PENDING'",
        [config().lease],
    )
    if count:
        yield Finding(
            Severity.ERROR,
            f"{count} run(s) that have begun are due, since {age:.0f} s, and no worker claims them; "
            f"the leases of {leases} have lapsed.",
            count,
            "Check whether workers run, consume sagas.dispatch and keep up.",
        )
    else:
        yield Finding(Severity.FINE, "No lease has lapsed.")


def escalations() -> Iterator[Finding]:
    """Report open escalations."""
    count, oldest = one(
        "SELECT count(*), date_trunc('second', clock_timestamp() - min(created_at))::text "
        "FROM sagas_escalation WHERE resolved_at IS NULL"
    )
    if count:
        what = f"{count} run(s) wait for a person, the longest for {oldest}."
        yield Finding(
            Severity.ERROR, what, count, "See Escalations in the admin. Repair the cause, then resume the runs."
        )
    else:
        yield Finding(Severity.FINE, "No run waits for a person.")


def breakers() -> Iterator[Finding]:
    """Report open breakers. A run that fails at such a participant is escalated at once; the other runs wait."""
    found = rows(
        "SELECT participant, date_trunc('second', clock_timestamp() - opened_at)::text, failed, retried "
        "FROM sagas_breaker WHERE closed_at IS NULL ORDER BY opened_at"
    )
    for participant, since, failed, retried in found:
        yield Finding(
            Severity.ERROR,
            f"The breaker of {participant} is open since {since}: {failed} of {retried} retried operations had failed.",
            remedy="Repair the participant. A probe closes the breaker; then resume the escalated runs.",
        )
    if not found:
        yield Finding(Severity.FINE, "No breaker is open.")


def paused() -> Iterator[Finding]:
    """Report what people have paused: it waits until it is unpaused."""
    found = rows(
        "SELECT concat_ws(' ', scope, nullif(saga, ''), nullif(step, ''), run_id::text), paused_by, "
        "date_trunc('second', clock_timestamp() - since)::text FROM sagas_pause WHERE ended_at IS NULL "
        "ORDER BY since LIMIT 20"
    )
    for what, by, since in found:
        yield Finding(
            Severity.WARNING,
            f"Paused since {since} by {by}: {what}.",
            remedy="When the reason is over, unpause it: manage.py sagas unpause, or Pauses in the admin.",
        )
    if not found:
        yield Finding(Severity.FINE, "Nothing is paused.")


def undecided() -> Iterator[Finding]:
    """Report decisions that some runs have not got yet, although they are made for a while."""
    found = rows(
        "SELECT d.saga, d.name, d.key, date_trunc('second', clock_timestamp() - d.decided_at)::text, (SELECT count(*) "
        "FROM sagas_run AS run WHERE run.saga = d.saga AND run.decision_key = d.key AND run.decision_name = d.name "
        "AND run.decided_at IS NULL AND run.state IN ('PENDING', 'EXECUTING', 'AWAITING_CONFIRM')) "
        "FROM sagas_shareddecision AS d WHERE d.settled_at IS NULL "
        "AND d.decided_at < clock_timestamp() - %s * interval '1 second' ORDER BY d.id LIMIT 20",
        [config().lease],
    )
    for saga, name, key, since, count in found:
        yield Finding(
            Severity.ERROR if count else Severity.WARNING,
            f"{saga}.{name} of {key!r} was decided {since} ago, and {count} run(s) have not got it.",
            count,
            "Check whether workers run that know this saga, keep up, and have no error in their logs; a worker gives "
            "each decision to a cohort at a time.",
        )
    if not found:
        yield Finding(Severity.FINE, "Every decision for many runs has been given to them.")


def backlog() -> Iterator[Finding]:
    """Report how long the oldest run that has not begun has waited."""
    # sagas.check_admission looks at the same runs. It refuses by the expected wait, which is never below the age.
    count, age = store.claims.backlog()
    limit = config().admission
    what = f"The oldest of {count} run(s) that have not begun has waited {age:.0f} s."
    if age > limit:
        remedy = "Add workers, or find out why the present ones are slow."
        yield Finding(
            Severity.ERROR, f"{what} Above {limit:g} s sagas.check_admission refuses new ones.", count, remedy
        )
    elif age > config().lease:
        yield Finding(Severity.WARNING, what, count, "Check whether workers run, and whether they keep up.")
    else:
        yield Finding(Severity.FINE, what)
