"""System checks: what is wrong with the set-up, and how to mend it, before the first run meets it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sagas import channels, registry
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
