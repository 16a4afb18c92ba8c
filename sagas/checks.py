"""System checks: what is wrong with the set-up, and how to mend it, before the first run meets it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction

from sagas import db, runtime, store
from sagas.conf import Misconfigured, has_a_port, parse
from sagas.definition import registry
from sagas.escalations import channels
from sagas.messaging import app as celery
from sagas.requirements import server_settings, software


@register("sagas")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check ``SAGAS``, and that every step's queue is one of it."""
    try:
        config = parse(getattr(settings, "SAGAS", None))
    except Misconfigured as error:
        return [Error(error.message, hint=error.hint, id="sagas.E001")]
    if config.redis_url and not has_a_port(config.redis_url):
        # The engine runs on without Redis; nothing of the URL is shown, for it may be a part of the password.
        hint = "Escape what is special in the password (%2F for a slash), and give a number for the port."
        return [Error("SAGAS['REDIS_URL'] cannot be read.", hint=hint, id="sagas.E001")]
    return [
        Error(
            f"{definition.name}.{step.name} goes to queue {step.queue!r}, which no worker is told of.",
            hint=f"Add {step.queue!r} to SAGAS['QUEUES'], or name one of: {', '.join(config.queues)}.",
            id="sagas.E002",
        )
        for definition in registry.all_definitions()
        for step in definition.all_steps
        if step.queue not in config.queues
    ]


@register("sagas")
def check_confirmations(**_: Any) -> list[CheckMessage]:
    """Check that what comes with a confirmation is given back when its run is undone, or need not be."""
    return [
        Error(
            f"{definition.name}.{confirmation.name} may be taken, and its run be undone after all: nothing gives back "
            "what was taken then.",
            hint="Add compensate= (and queue=), which refunds a payment, say; or needs_compensation=False, if there is "
            "nothing to give back.",
            id="sagas.E010",
        )
        for definition in registry.all_definitions()
        for confirmation in definition.confirmations
        if confirmation.refund is None and confirmation.needs_compensation
    ]


@register("sagas")
def check_channels(**_: Any) -> list[CheckMessage]:
    """Check that apprise can read every URL of ``ESCALATION_URLS``. It is not shown: it has secrets in it."""
    try:
        urls = parse(getattr(settings, "SAGAS", None)).escalation_urls
        unreadable = channels.unreadable(urls)
    except Misconfigured:
        return []  # E001
    except channels.AppriseMissing:
        return [Error("SAGAS['ESCALATION_URLS'] is sent by apprise.", hint="pip install apprise", id="sagas.E005")]
    return [
        Error(
            f"SAGAS['ESCALATION_URLS'][{position}] is no URL that apprise can read.",
            hint="The docs of apprise say how the URL of each service is written.",
            id="sagas.E005",
        )
        for position in unreadable
    ]


@register("sagas")
def check_requirements(**_: Any) -> list[CheckMessage]:
    """Check the versions of Python and of the packages, and that the broker is a RabbitMQ."""
    return [Error(lack.what, hint=lack.remedy, id="sagas.E030") for lack in (*software.packages(), *software.broker())]


@register("sagas")
def check_celery(**_: Any) -> list[CheckMessage]:
    """Check the settings of Celery that the promises rest on: of the engine's app, and of those it shares."""
    try:
        broken = [*celery.broken_promises()]
    except Misconfigured:
        return []  # E001
    return [Error(lack.what, hint=lack.remedy, id="sagas.E031") for lack in broken]


@register("sagas")
def check_imports(**_: Any) -> list[CheckMessage]:
    """Report the ``sagas`` modules that could not be imported."""
    return [
        Error(
            f"{module} cannot be imported: {type(error).__name__}: {error}{_where(module, error)}",
            hint="Mend the module; until then its runs wait, and are escalated after a while.",
            id="sagas.E003",
        )
        for module, error in runtime.declared.failed_imports.items()
    ]


def _where(module: str, error: Exception) -> str:
    """The line of the module: what is wrong with a step is found before the step has its name."""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_globals.get("__name__") == module]
    return f" (line {lines[-1]})" if lines else ""


@register("sagas")
def check_database(**_: Any) -> list[CheckMessage]:
    """Check that the truth lives in PostgreSQL."""
    lack = software.database()
    return [Error(lack.what, hint=lack.remedy, id="sagas.E004")] if lack else []


@register("sagas")
def check_driver(**_: Any) -> list[CheckMessage]:
    """Check that PostgreSQL is spoken to through psycopg2: Django prefers psycopg 3 wherever that is installed too."""
    lack = software.driver()
    return [Error(lack.what, hint=lack.remedy, id="sagas.E009")] if lack else []


@register("sagas")
def check_other_databases(**_: Any) -> list[CheckMessage]:
    """Check the databases that steps name: that they are there, and cannot keep the engine waiting."""
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
                    hint=f"Add {alias!r} to DATABASES, or name one of: {known}.",
                    id="sagas.E007",
                )
            )
        elif "postgresql" not in database.get("ENGINE", ""):
            found.append(
                Error(
                    f"{name} is in the database {alias!r}, which is not PostgreSQL.",
                    hint="Keep the step's data in PostgreSQL, where an INSERT … ON CONFLICT is the barrier.",
                    id="sagas.E008",
                )
            )
        elif missing := _unlimited(database.get("OPTIONS", {})):
            found.append(
                Warning(
                    f"{name} is in the database {alias!r}, whose connection has no {' and no '.join(missing)}.",
                    hint="While it hangs, a worker keeps its runs locked: see docs/how-to/another-database.md. "
                    "If the server sets these limits, silence this check.",
                    id="sagas.W004",
                )
            )
    return found


def _unlimited(options: Mapping[str, Any]) -> list[str]:
    """What limits how long a connection may keep one waiting, and is not set."""
    sent = str(options.get("options", ""))
    limits = [limit for limit in ("lock_timeout", "statement_timeout") if limit not in sent]
    return (["connect_timeout"] if "connect_timeout" not in options else []) + limits


@register("sagas")
def check_sessions(**_: Any) -> list[CheckMessage]:
    """Check how Django makes sessions of the databases of which something is promised."""
    return [_as_message(deviation) for deviation in server_settings.declared()]


@register("sagas", Tags.database)
def check_servers(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Ask the servers for the settings on which the promises rest; only those that Django was told to ask."""
    found: list[CheckMessage] = []
    for alias in server_settings.databases():
        if alias not in (databases or ()) or connections[alias].vendor != "postgresql":
            continue
        try:
            found += [_as_message(deviation) for deviation in server_settings.deviations(alias)]
        except DatabaseError:
            continue  # W002, or whoever asks next
    return found


def _as_message(deviation: server_settings.Deviation) -> CheckMessage:
    kind = Error if deviation.is_error else Warning
    return kind(deviation.what, hint=deviation.remedy, id=f"sagas.{deviation.check}")


#: Seconds for which the database may look for runs; a check is no place to wait.
_PATIENCE = 10
#: Undefined table, undefined column: not migrated, so there are no runs.
_NOT_THERE = frozenset({"42P01", "42703"})


@register("sagas", Tags.database)
def check_runs(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Find the unfinished runs that this code cannot bring to their end.

    Asks the database, so only where Django was told that it may: ``manage.py check --database default``, and
    ``migrate``, which comes before a deploy's new code does.
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
                f"Whether unfinished runs can go on could not be looked up: {str(error).strip().splitlines()[0]}",
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
