"""System checks: what is wrong with the settings and servers, and how to repair it, before the first run fails."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, router, transaction

from sagas import db, limits, listeners, runtime, store
from sagas.conf import Misconfigured, config, has_readable_port, parse_settings
from sagas.definition import registry
from sagas.escalations import channels
from sagas.models import Run
from sagas.requirements import extras, installation, migrations, server_settings, software
from sagas.retention import ages


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
def check_sizes(**_: Any) -> list[CheckMessage]:
    """Check that PostgreSQL can take the results of a whole cohort at once."""
    try:
        settings = config()
    except Misconfigured:
        return []  # E001
    each, runs, most = settings.data_limit, settings.cohort, limits.JSONB
    if each * runs <= most:
        return []
    cures = [f"SAGAS['DATA_LIMIT'] to at most {most // runs:,}"]
    if each <= most:
        cures.append(f"SAGAS['COHORT'] to at most {most // each:,}")
    return [
        Warning(
            f"SAGAS['DATA_LIMIT'] of {each:,} bytes for each of SAGAS['COHORT'], {runs:,} runs, is more than the "
            f"{most:,} that PostgreSQL takes at once: where results are so large, a cohort is rolled back, and "
            "performed in halves.",
            hint=f"Lower {' or '.join(cures)}. What is large belongs in a table of your own, its key in the result.",
            id="sagas.W007",
        )
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
        if confirmation.refund is None and confirmation.needs_compensation and not confirmation.is_shared
    ]


@register("sagas")
def check_retention(**_: Any) -> list[CheckMessage]:
    """Check that runs are kept for as long as a message or a request about them may come."""
    try:
        found = [*ages.too_short()]
        unknown = ages.unknown()
    except Misconfigured:
        return []  # E001
    return [
        *(Error(problem.message, hint=problem.hint, id="sagas.E011") for problem in found),
        *(
            Warning(
                f"SAGAS['RETENTION'] names {saga!r}, and the code has no saga of this name.",
                hint="Correct the name; or leave it, if runs of a saga that the code had are to be deleted.",
                id="sagas.W005",
            )
            for saga in unknown
        ),
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
        return [Error("SAGAS['ESCALATION_URLS'] needs apprise.", hint=extras.install("notices"), id="sagas.E005")]
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
    """Check that packages are there and new enough, and that the broker is RabbitMQ."""
    lacks = (*software.packages(), *extras.missing(), *software.broker())
    return [Error(lack.what, hint=lack.remedy, id="sagas.E030") for lack in lacks]


@register("sagas")
def check_installation(**_: Any) -> list[CheckMessage]:
    """Check that the package is here once, and that nothing else is called ``sagas``."""
    return [
        *(Error(lack.what, hint=lack.remedy, id="sagas.E034") for lack in installation.other_versions()),
        *(Error(lack.what, hint=lack.remedy, id="sagas.E035") for lack in installation.strangers()),
        *(Warning(lack.what, hint=lack.remedy, id="sagas.W033") for lack in installation.hidden()),
    ]


@register("sagas")
def check_celery(**_: Any) -> list[CheckMessage]:
    """Check the settings of Celery on which the promises rest, for the engine's app and for shared apps."""
    try:
        if config().broker is None or extras.celery():
            return []  # without a broker Celery need not be installed; with one, E030 reports it
        from sagas.messaging.app import find_unfit_settings  # noqa: PLC0415

        broken = [*find_unfit_settings()]
    except Misconfigured:
        return []  # E001
    return [Error(lack.what, hint=lack.remedy, id="sagas.E031") for lack in broken]


@register("sagas")
def check_events(**_: Any) -> list[CheckMessage]:
    """Check that somebody takes the domain events."""
    try:
        if config().broker is not None:
            return []
    except Misconfigured:
        return []  # E001
    heard = listeners.heard_sagas()
    return [
        Warning(
            f"{definition.name} publishes events, SAGAS['BROKER'] is None, and nobody here listens to them: they wait "
            "in the outbox.",
            hint="Register a listener by sagas.on_event; or set a broker; or let the saga publish no events.",
            id="sagas.W006",
        )
        for definition in registry.all_definitions()
        if definition.publishes and definition.name not in heard
    ]


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
    """Check the version of the driver of PostgreSQL."""
    lack = software.driver()
    return [Error(lack.what, hint=lack.remedy, id="sagas.E009")] if lack else []


@register("sagas")
def check_routers(**_: Any) -> list[CheckMessage]:
    """Check that no router has the engine's tables in another database than the default one."""
    found = router.db_for_write(Run)
    if found == DEFAULT_DB_ALIAS:
        return []
    return [
        Error(
            f"DATABASE_ROUTERS send writes of the engine's tables to {found!r}; the engine writes into the default "
            "database, in the transactions of its participants.",
            hint="Have the routers leave the app sagas in 'default', which is the database of the steps. "
            "Steps elsewhere name it: Step(…, database=…).",
            id="sagas.E033",
        )
    ]


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
        elif not software.is_postgresql(database):
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
        except DatabaseError as error:
            # W002 reports any other.
            if refused := server_settings.refused_by_pooler(alias, error):
                found.append(_as_message(refused))
    return found


@register("sagas", Tags.database)
def check_migrations(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that the database is not that of a newer version, and that no migration was interrupted."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or connection.vendor != "postgresql":
        return []
    try:
        return [_as_message(deviation) for deviation in migrations.deviations()]
    except DatabaseError:
        return []  # W002 reports it


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
    if "default" not in (databases or ()) or connection.vendor != "postgresql":
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
