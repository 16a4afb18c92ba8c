"""System checks: what is wrong with the set-up, and how to mend it, before the first run meets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's name for it
from django.db import DEFAULT_DB_ALIAS

from sagas import registry
from sagas.conf import Misconfigured, parse


@register("sagas")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check ``SAGAS``, and that every step's queue is one of it."""
    try:
        config = parse(getattr(settings, "SAGAS", None))
    except Misconfigured as error:
        return [Error(error.message, hint=error.hint, id="sagas.E001")]
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
def check_imports(**_: Any) -> list[CheckMessage]:
    """Report the ``sagas`` modules that could not be imported."""
    return [
        Error(
            f"{module} cannot be imported: {type(error).__name__}: {error}",
            hint="Mend the module; until then its runs wait, and are escalated after a while.",
            id="sagas.E003",
        )
        for module, error in registry.broken.items()
    ]


@register("sagas")
def check_database(**_: Any) -> list[CheckMessage]:
    """Check that the truth lives in PostgreSQL."""
    database = settings.DATABASES.get("default", {})
    if "postgresql" in database.get("ENGINE", ""):
        return []
    return [
        Error(
            "The engine needs PostgreSQL: it claims work by FOR UPDATE SKIP LOCKED.",
            hint="Set DATABASES['default'] to a PostgreSQL database.",
            id="sagas.E004",
        )
    ]


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
                    id="sagas.E006",
                )
            )
        elif "postgresql" not in database.get("ENGINE", ""):
            found.append(
                Error(
                    f"{name} is in the database {alias!r}, which is not PostgreSQL.",
                    hint="Keep the step's data in PostgreSQL, where an INSERT … ON CONFLICT is the barrier.",
                    id="sagas.E007",
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
