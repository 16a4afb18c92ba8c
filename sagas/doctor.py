"""Look the whole installation over, for a person: what is wrong, how many runs it hits, and what to do.

Reads only: the databases, RabbitMQ and Redis. Each is looked at by itself, so that one which is away hides nothing
that the others can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from celery import current_app
from django.db import DatabaseError, connection
from django.utils.connection import ConnectionDoesNotExist
from kombu.exceptions import OperationalError

from sagas import barrier, elsewhere, kick, registry, topology, unreadable, versions
from sagas.conf import config


class Severity(StrEnum):
    """How bad a finding is."""

    #: Runs do not get on, or will not.
    ERROR = "error"
    #: All goes on, with less.
    WARNING = "warning"
    #: For information.
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor has seen.

    Attributes:
        severity: how bad it is.
        what: one sentence.
        runs: how many runs it hits; 0 where that does not apply.
        remedy: what to do; '' where nothing is to be done.
    """

    severity: Severity
    what: str
    runs: int = 0
    remedy: str = ""


def examine() -> Sequence[Finding]:
    """Look at everything."""
    return [*_modules(), *_database(), *_other_databases(), *_broker(), *_redis()]


def _modules() -> Iterator[Finding]:
    for module, error in registry.broken.items():
        what = f"{module} cannot be imported: {type(error).__name__}: {error}."
        yield Finding(Severity.ERROR, what, remedy="Mend the module; until then its runs wait, and then escalate.")


def _database() -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        for look in (_definitions, _requests, _stuck, _escalations, _backlog):
            found += look()
    except DatabaseError as error:
        # A name of its own for the commonest cause: the tables are not there.
        missing = getattr(error.__cause__, "pgcode", None) in {"42P01", "42703"}
        found.append(
            Finding(
                Severity.ERROR,
                f"The database does not answer: {str(error).strip().splitlines()[0]}.",
                remedy="Run manage.py migrate." if missing else "Check DATABASES['default'] and that the server runs.",
            )
        )
    yield from found


def _definitions() -> Iterator[Finding]:
    problems = versions.problems()
    for problem in problems:
        yield Finding(
            Severity.ERROR,
            f"{problem.runs} of {problem.saga} version {problem.version} cannot go on here: {problem.what}.",
            problem.live + problem.escalated,
            problem.remedy,
        )
    if not problems:
        yield Finding(Severity.FINE, "Every unfinished run can go on with the code that is here.")


def _requests() -> Iterator[Finding]:
    found = unreadable.find()
    for group in found:
        runs = f"{group.live} live and {group.escalated} escalated run(s) of {group.saga} version {group.version}"
        yield Finding(
            Severity.ERROR,
            f"What {runs} were asked for cannot be read here: {group.error} (run {group.first}).",
            group.live + group.escalated,
            "Give what is new in the request's type a default and let it take what was before, or give the changed "
            "class the next version and keep the old one beside it until its runs are done.",
        )
    if not found:
        yield Finding(Severity.FINE, "What every unfinished run was asked for can be read here.")


def _stuck() -> Iterator[Finding]:
    # The first claim is how every run is taken; a second without progress is a lease that ran out.
    count, worst = _one("SELECT count(*), max(claims) FROM sagas_run WHERE due_at IS NOT NULL AND claims > 1")
    if count:
        yield Finding(
            Severity.ERROR,
            f"{count} run(s) stand still: claimed up to {worst} of {config().lease_limit} times without progress.",
            count,
            "Look whether a worker consumes every queue, and into the workers' logs.",
        )
    else:
        yield Finding(Severity.FINE, "No run stands still.")


def _escalations() -> Iterator[Finding]:
    count, oldest = _one(
        "SELECT count(*), date_trunc('second', clock_timestamp() - min(created_at))::text "
        "FROM sagas_escalation WHERE resolved_at IS NULL"
    )
    if count:
        what = f"{count} run(s) wait for a person, the longest for {oldest}."
        yield Finding(Severity.ERROR, what, count, "See Escalations in the admin; mend the cause, then resume them.")
    else:
        yield Finding(Severity.FINE, "No run waits for a person.")


def _backlog() -> Iterator[Finding]:
    # As sagas.admit measures it: what was put off for a retry or waits for a confirmation is not due.
    count, age = _one(
        "SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM sagas_run "
        "WHERE due_at <= now() AND state = 'PENDING'"
    )
    limit = config().admission
    what = f"The oldest of {count} run(s) that have not begun has waited {age:.0f} s."
    if age > limit:
        remedy = "Add workers, or look why those that run are slow."
        yield Finding(Severity.ERROR, f"{what} Above {limit:g} s sagas.admit refuses new ones.", count, remedy)
    elif age > config().lease:
        yield Finding(Severity.WARNING, what, count, "Look whether workers run, and whether they keep up.")
    else:
        yield Finding(Severity.FINE, what)


def _other_databases() -> Iterator[Finding]:
    for database in elsewhere.databases():
        what = f"The database {database!r}, in which steps are,"
        try:
            there = barrier.is_there(database)
        except (DatabaseError, ConnectionDoesNotExist) as error:
            said = str(error).strip().splitlines()[0]
            remedy = f"Check DATABASES[{database!r}] and that the server runs; until then its steps are tried again."
            yield Finding(Severity.ERROR, f"{what} does not answer: {said}.", remedy=remedy)
            continue
        if there:
            yield Finding(Severity.FINE, f"{what} has the table that keeps their effects to one.")
        else:
            remedy = f"Run manage.py migrate --database {database}; until then its steps fail."
            yield Finding(Severity.ERROR, f"{what} has no table sagas_barrier.", remedy=remedy)


def _broker() -> Iterator[Finding]:
    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=5)
            missing, differing = topology.compare(broker)
    except (OperationalError, OSError) as error:
        what = f"RabbitMQ does not answer: {error}."
        yield Finding(Severity.ERROR, what, remedy="Check the broker's URL and that the server runs.")
        return
    if missing:
        what = f"Queues are missing in RabbitMQ: {', '.join(missing)}."
        yield Finding(Severity.ERROR, what, remedy="Run manage.py sagas topology.")
    if differing:
        what = f"Queues were declared with other arguments, and are used as they are: {', '.join(differing)}."
        remedy = "Let them run empty, stop their workers, and run manage.py sagas topology --replace."
        yield Finding(Severity.ERROR, what, remedy=remedy)
    if not missing and not differing:
        yield Finding(Severity.FINE, "Every queue is in RabbitMQ as it should be.")


def _redis() -> Iterator[Finding]:
    answers = kick.answers()
    if answers is None:
        yield Finding(Severity.FINE, "No Redis is set: the tick does the kicks' work.")
    elif answers:
        yield Finding(Severity.FINE, "Redis answers.")
    else:
        what = f"Redis does not answer: runs begin up to {config().tick:g} s later."
        yield Finding(Severity.WARNING, what, remedy="Check SAGAS['REDIS_URL'] and that the server runs.")


def _one(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()
