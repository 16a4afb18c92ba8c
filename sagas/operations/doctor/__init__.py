"""The doctor checks the whole installation: what is wrong, how many runs are affected, and what to do.

The doctor changes nothing in the databases and RabbitMQ; in Redis it writes one key of its own, which expires at once.
Each server is examined on its own, so that one that is away does not hide what the others show. A probe is a generator
of findings, in the module of its subject. To add a probe, write it there and name it in one of the lists below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import DatabaseError

from sagas.conf import config
from sagas.db import describe_error, sqlstate
from sagas.operations.doctor import (
    code,
    databases,
    events,
    integrity,
    pools,
    redis,
    retention,
    runs,
    workers,
)
from sagas.operations.doctor.finding import Finding, Severity
from sagas.requirements import extras, software

__all__ = ["Finding", "Severity", "examine"]

Probe = Callable[[], Iterable[Finding]]

#: Probes that need no server.
ALONE: Sequence[Probe] = (code.needs, code.modules)

#: Probes that read the engine's database. The first one that gets no answer is the last.
DATABASE: Sequence[Probe] = (
    databases.role,
    code.definitions,
    code.requests,
    workers.pulse,
    runs.stuck,
    runs.lapsed,
    runs.escalations,
    runs.breakers,
    runs.paused,
    runs.undecided,
    runs.backlog,
    events.queued,
    integrity.escalated,
    integrity.times,
    integrity.logs,
    pools.books,
    retention.pruning,
)

#: Probes that handle the absence of their servers themselves.
BESIDE: Sequence[Probe] = (databases.server_settings, databases.schema, databases.others)

#: Probes that ask Redis, and handle its absence themselves.
REDIS: Sequence[Probe] = (redis.reach,)


def examine() -> Sequence[Finding]:
    """Run all probes."""
    return [*_run(ALONE), *_database(), *_run(BESIDE), *_broker(), *_run(REDIS)]


def _run(probes: Iterable[Probe]) -> Iterator[Finding]:
    for probe in probes:
        yield from probe()


def _database() -> Iterator[Finding]:
    try:
        yield from _run(DATABASE)
    except DatabaseError as error:
        # The most common cause gets a remedy of its own: the tables do not exist.
        missing = sqlstate(error) in {"42P01", "42703"}
        yield Finding(
            Severity.ERROR,
            f"The database does not answer: {str(error).strip().splitlines()[0]}.",
            remedy="Run manage.py migrate." if missing else "Check DATABASES['default'] and that the server runs.",
        )


def _broker() -> Iterator[Finding]:
    if config().broker is None:
        what = "SAGAS['BROKER'] is None: manage.py sagas work claims and performs, and no broker is needed."
        yield Finding(Severity.FINE, what)
        return
    if extras.celery() or any(software.broker()):
        return  # Celery is missing, or the broker is no RabbitMQ: code.needs reports it
    # Without a broker none of these packages need be installed.
    from kombu.exceptions import OperationalError  # noqa: PLC0415

    from sagas.messaging.app import engine_app  # noqa: PLC0415
    from sagas.messaging.publisher import is_from_broker  # noqa: PLC0415
    from sagas.operations.doctor import broker  # noqa: PLC0415

    try:
        with engine_app().connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            for probe in broker.PROBES:
                yield from probe(connection)
    except (OperationalError, OSError) as error:
        if not is_from_broker(error):
            raise
        what = f"RabbitMQ does not answer: {describe_error(error)}."
        yield Finding(Severity.ERROR, what, remedy="Check the broker's URL and that the server runs.")
