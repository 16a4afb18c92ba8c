"""Look the whole installation over, for a person: what is wrong, how many runs it hits, and what to do.

Changes nothing in the databases, RabbitMQ and Redis (which is given a key of the doctor's own, for a moment). Each is
looked at by itself, so that one which is away hides nothing that the others can tell. A probe is a generator of
findings, in the module of its subject; to add one, write it there and name it in the list below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import DatabaseError
from kombu import Connection
from kombu.exceptions import OperationalError

from sagas.db import said, sqlstate
from sagas.messaging.app import engine_app
from sagas.messaging.publisher import is_brokers
from sagas.operations.doctor import (
    broker,
    code,
    databases,
    integrity,
    pools,
    redis,
    runs,
    workers,
)
from sagas.operations.doctor.finding import Finding, Severity
from sagas.requirements import software

__all__ = ["Finding", "Severity", "examine"]

Probe = Callable[[], Iterable[Finding]]

#: Need no server.
ALONE: Sequence[Probe] = (code.needs, code.modules)

#: Read the engine's database; not asked any more once it does not answer.
DATABASE: Sequence[Probe] = (
    databases.role,
    code.definitions,
    code.requests,
    workers.pulse,
    runs.stuck,
    runs.lapsed,
    runs.escalations,
    runs.breakers,
    runs.backlog,
    integrity.escalated,
    integrity.times,
    integrity.logs,
    pools.books,
)

#: Take care of their servers' absence themselves.
BESIDE: Sequence[Probe] = (databases.server_settings, databases.others)

#: Ask RabbitMQ, over one connection; not asked any more once it does not answer.
BROKER: Sequence[Callable[[Connection], Iterable[Finding]]] = (
    broker.version,
    broker.queues,
    broker.policies,
    broker.consumers,
    broker.dead_letters,
)

#: Ask Redis; each takes care of its absence itself.
REDIS: Sequence[Probe] = (redis.reach,)


def examine() -> Sequence[Finding]:
    """Look at everything."""
    return [*_run(ALONE), *_database(), *_run(BESIDE), *_broker(), *_run(REDIS)]


def _run(probes: Iterable[Probe]) -> Iterator[Finding]:
    for probe in probes:
        yield from probe()


def _database() -> Iterator[Finding]:
    try:
        yield from _run(DATABASE)
    except DatabaseError as error:
        # A name of its own for the commonest cause: the tables are not there.
        missing = sqlstate(error) in {"42P01", "42703"}
        yield Finding(
            Severity.ERROR,
            f"The database does not answer: {str(error).strip().splitlines()[0]}.",
            remedy="Run manage.py migrate." if missing else "Check DATABASES['default'] and that the server runs.",
        )


def _broker() -> Iterator[Finding]:
    if any(software.broker()):
        return  # no RabbitMQ at all, as code.needs says
    try:
        with engine_app().connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            for probe in BROKER:
                yield from probe(connection)
    except (OperationalError, OSError) as error:
        if not is_brokers(error):
            raise
        what = f"RabbitMQ does not answer: {said(error)}."
        yield Finding(Severity.ERROR, what, remedy="Check the broker's URL and that the server runs.")
