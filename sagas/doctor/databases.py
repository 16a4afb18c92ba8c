"""Probes of other databases in which steps are. A probe of the engine's own database's settings belongs here, too."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError
from django.utils.connection import ConnectionDoesNotExist

from sagas import barrier, elsewhere, requirements
from sagas.doctor.finding import Finding, Severity


def version() -> Iterator[Finding]:
    """Tell of a PostgreSQL that is too old."""
    if lack := requirements.postgresql():
        yield Finding(Severity.ERROR, lack.what, remedy=lack.remedy)


def others() -> Iterator[Finding]:
    """Tell whether each database in which steps are answers, and has the barrier's table."""
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
