"""System checks: what is wrong with the settings and servers, and how to repair it, before the first run fails."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction

from sagas import db, runtime, store
from sagas.conf import Misconfigured, has_readable_port, parse_settings
from sagas.definition import registry
from sagas.escalations import channels
from sagas.messaging import app as celery
from sagas.requirements import server_settings, software


@register("sagas")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check ``SAGAS``, and that it has the queue of every step."""
    try:
        config = parse_settings(getattr(settings, "SAGAS", None))
    except Misconfigured as error:
        return [Error(error.message, hint=error.hint, id="sagas.E001")]
    if config.redis_url and not has_readable_port(config.redis_url):
        # Nothing of the URL is shown: a part of the password may stand in place of the port.
        hint = "Escape special characters in the password (%2F for a slash), and give a number for the port."
        return [Error("SAGAS['REDIS_URL'] cannot be read.", hint=hint, id="sagas.E001")]
    return [
        Error(
            f"{definition.name}.{step.name} has the queue {step.queue!r}, which is not in SAGAS['QUEUES'].",
            hint=f"Add {step.queue!r} to SAGAS['QUEUES'], or give the step one of: {', '.join(config.queues)}.",
            id="sagas.E002",
        )
        for definition in registry.all_definitions()
        for step in definition.all_steps
        if step.queue not in config.queues
    ]


@register("sagas")
def check_confirmations(**_: Any) -> list[CheckMessage]:
    """Check that each confirmation can be given back, or needs no compensation."""
    return [
        Error(
            f"{definition.name}.{confirmation.name} has no compensate=: if its run is undone after the confirmation "
            "has come, nothing is given back.",
            hint="Add compensate= and queue=, to refund a payment, say; or needs_compensation=False, if there is "
            "nothing to give back.",
            id="sagas.E010",
        )
        for definition in registry.all_definitions()
        for confirmation in definition.confirmations
        if confirmation.refund is None and confirmation.needs_compensation
    ]


@register("sagas")
def check_channels(**_: Any) -> list[CheckMessage]:
    """Check that apprise can read every URL of ``ESCALATION_URLS``. URLs are not shown, because they have secrets."""
    try:
        urls = parse_settings(getattr(settings, "SAGAS", None)).escalation_urls
        unreadable = channels.unreadable_urls(urls)
    except Misconfigured:
        return []  # E001
    except channels.AppriseMissing:
        return [Error("SAGAS['ESCALATION_URLS'] needs apprise.", hint="pip install apprise", id="sagas.E005")]
    return [
        Error(
            f"SAGAS['ESCALATION_URLS'][{position}] is no URL of apprise.",
            hint="The docs of apprise say how the URL of each service is written.",
            id="sagas.E005",
        )
        for position in unreadable
    ]


@register("sagas")
def check_requirements(**_: Any) -> list[CheckMessage]:
    """Check the versions of Python and of the packages, and that the broker is RabbitMQ."""
    return [Error(lack.what, hint=lack.remedy, id="sagas.E030") for lack in (*software.packages(), *software.broker())]


@register("sagas")
def check_celery(**_: Any) -> list[CheckMessage]:
    """Check the settings of Celery on which the promises rest, for the engine's app and for shared apps."""
    try:
        broken = [*celery.find_unfit_settings()]
    except Misconfigured:
        return []  # E001
    return [Error(lack.what, hint=lack.remedy, id="sagas.E031") for lack in broken]


@register("sagas")
def check_imports(**_: Any) -> list[CheckMessage]:
    """Report the ``sagas`` modules that could not be imported."""
    return [
        Error(
            f"{module} cannot be imported: {type(error).__name__}: {error}{_where(module, error)}",
            hint="Repair the module. Until then its runs wait, and are escalated after a while.",
            id="sagas.E003",
        )
        for module, error in runtime.declared.failed_imports.items()
    ]


def _where(module: str, error: Exception) -> str:
    """The line of the module that failed: an error in a step's arguments does not name the step."""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_globals.get("__name__") == module]
    return f" (line {lines[-1]})" if lines else ""


@register("sagas")
def check_database(**_: Any) -> list[CheckMessage]:
    """Check that the engine's database is PostgreSQL."""
    lack = software.database()
    return [Error(lack.what, hint=lack.remedy, id="sagas.E004")] if lack else []


@register("sagas")
def check_driver(**_: Any) -> list[CheckMessage]:
    """Check the driver of PostgreSQL: Django prefers psycopg 3 if both it and psycopg2 are installed."""
    lack = software.driver()
    return [Error(lack.what, hint=lack.remedy, id="sagas.E009")] if lack else []


@register("sagas")
def check_other_databases(**_: Any) -> list[CheckMessage]:
    """Check the databases of steps: that they exist, and that their connections have time-outs."""
    named: dict[str, str] = {}
    for definition in registry.all_definitions():
        for step in definition.all_steps:
            if step.database:
                named.setdefault(step.database, f"{definition.name}.{step.name}")
    found: list[CheckMessage] = []
    for alias, name in named.items():
        database = settings.DATABASES.get(alias)
        if database is None:
            known = ", ".join(other for other in settings.DATABASES if other != DEFAULT_DB_ALIAS) or "no other"
            found.append(
                Error(
                    f"{name} is in the database {alias!r}, which DATABASES does not have.",
                    hint=f"Add {alias!r} to DATABASES, or give the step one of: {known}.",
                    id="sagas.E007",
                )
            )
        elif "postgresql" not in database.get("ENGINE", ""):
            found.append(
                Error(
                    f"{name} is in the database {alias!r}, which is not PostgreSQL.",
                    hint="Keep the step's data in PostgreSQL: the barrier needs INSERT … ON CONFLICT.",
                    id="sagas.E008",
                )
            )
        elif missing := _missing_timeouts(database.get("OPTIONS", {})):
            found.append(
                Warning(
                    f"{name} is in the database {alias!r}, whose connection has no {' and no '.join(missing)}.",
                    hint="While that database hangs, a worker keeps its runs locked: see "
                    "docs/how-to/another-database.md. If the server sets these limits, silence this check.",
                    id="sagas.W004",
                )
            )
    return found


def _missing_timeouts(options: Mapping[str, Any]) -> list[str]:
    """The time-outs that a connection lacks."""
    sent = str(options.get("options", ""))
    limits = [limit for limit in ("lock_timeout", "statement_timeout") if limit not in sent]
    return (["connect_timeout"] if "connect_timeout" not in options else []) + limits


@register("sagas")
def check_sessions(**_: Any) -> list[CheckMessage]:
    """Check the settings of connections in ``DATABASES``."""
    return [_as_message(deviation) for deviation in server_settings.declared()]


@register("sagas", Tags.database)
def check_servers(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check the settings of the servers on which the promises rest, of those databases that Django may ask."""
    found: list[CheckMessage] = []
    for alias in server_settings.databases():
        if alias not in (databases or ()) or connections[alias].vendor != "postgresql":
            continue
        try:
            found += [_as_message(deviation) for deviation in server_settings.deviations(alias)]
        except DatabaseError:
            continue  # W002 reports it
    return found


def _as_message(deviation: server_settings.Deviation) -> CheckMessage:
    kind = Error if deviation.is_error else Warning
    return kind(deviation.what, hint=deviation.remedy, id=f"sagas.{deviation.check}")


#: Seconds that the database may take to find runs: a check should not wait for long.
_PATIENCE = 10
#: SQLSTATEs of an undefined table or column: without the migrations there are no runs.
_NOT_THERE = frozenset({"42P01", "42703"})


@register("sagas", Tags.database)
def check_runs(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Find unfinished runs that this code cannot finish.

    It asks the database, so only if Django may: in ``manage.py check --database default``, and in ``migrate``, which
    runs before the new code is deployed.
    """
    if "default" not in (databases or ()) or "postgresql" not in connection.settings_dict["ENGINE"]:
        return []
    try:
        with transaction.atomic():
            problems = store.definitions.problems(within=_PATIENCE)
    except DatabaseError as error:
        if db.sqlstate(error) in _NOT_THERE:
            return []
        return [
            Warning(
                f"The database could not say whether unfinished runs can go on: {str(error).strip().splitlines()[0]}",
                hint="Run manage.py sagas doctor where the database can be reached.",
                id="sagas.W002",
            )
        ]
    return [
        (Error if problem.live else Warning)(
            f"{problem.runs} of {problem.saga} version {problem.version} cannot go on with this code: {problem.what}.",
            hint=problem.remedy,
            id="sagas.E006" if problem.live else "sagas.W003",
        )
        for problem in problems
    ]
