"""Probes of the databases: the engine's own, and other databases with steps."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError
from django.utils.connection import ConnectionDoesNotExist

from sagas import store
from sagas.operations import pruning
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.doctor.query import one
from sagas.requirements import migrations
from sagas.requirements import server_settings as settings


def role() -> Iterator[Finding]:
    """Report what the database role of this process may do to the log."""
    name, may_change = one("SELECT current_user, has_table_privilege('sagas_log', 'UPDATE, DELETE, TRUNCATE, TRIGGER')")
    if may_change:
        what = f"The role {name} may do more than add to the log; only triggers prevent that."
        remedy = "Let the application connect as a role that owns no table: manage.py sagas grants."
        yield Finding(Severity.FINE, what, remedy=remedy)
    else:
        yield Finding(Severity.FINE, f"The role {name} may add to the log, and change nothing in it.")


def server_settings() -> Iterator[Finding]:
    """Report settings that break or may break a promise, in Django's settings and on each server that answers."""
    yield from map(_finding, settings.declared())
    for alias in settings.databases():
        try:
            found = settings.deviations(alias)
        except (DatabaseError, ConnectionDoesNotExist):
            continue  # other probes report it
        yield from map(_finding, found)
        if not found:
            yield Finding(Severity.FINE, f"The database {alias!r} has the settings that the promises need.")


def schema() -> Iterator[Finding]:
    """Report migrations that the database lacks, has of a newer version, or has half done."""
    try:
        found = [*migrations.missing(), *migrations.deviations()]
    except DatabaseError:
        return  # other probes report it
    yield from map(_finding, found)
    if not found:
        yield Finding(Severity.FINE, "The database has the migrations of this code.")


def _finding(deviation: settings.Deviation) -> Finding:
    severity = Severity.ERROR if deviation.is_error else Severity.WARNING
    return Finding(severity, deviation.what, remedy=deviation.remedy)


def others() -> Iterator[Finding]:
    """Report whether each other database with steps answers and has the barrier table."""
    for database in pruning.step_databases():
        what = f"The database {database!r}, which steps use,"
        try:
            there = store.barriers.exists(database)
        except (DatabaseError, ConnectionDoesNotExist) as error:
            said = str(error).strip().splitlines()[0]
            remedy = f"Check DATABASES[{database!r}] and that the server runs. Until then its steps are tried again."
            yield Finding(Severity.ERROR, f"{what} does not answer: {said}.", remedy=remedy)
            continue
        if there:
            yield Finding(Severity.FINE, f"{what} has the table sagas_barrier.")
        else:
            remedy = f"Run manage.py migrate --database {database}. Until then its steps fail."
            yield Finding(Severity.ERROR, f"{what} has no table sagas_barrier.", remedy=remedy)
