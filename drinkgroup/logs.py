"""Logs to stdout, one line an event: JSON for machines, ``LOG_FORMAT=console`` for people."""

from __future__ import annotations

from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: Names whose values are never logged.
_SECRET = ("authorization", "cookie", "password", "secret", "signature", "token")


def hide_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the values with secret names."""
    for key in event:
        if any(word in key.lower() for word in _SECRET):
            event[key] = "***"
    return event


def hide_passwords(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the passwords of URLs in messages and tracebacks."""
    # Imported here, because this module is loaded by the settings, which the engine's modules need.
    from sagas.redaction import redact_all  # noqa: PLC0415

    return {key: value if key == "exc_info" else redact_all(value) for key, value in event.items()}


#: Plain tracebacks: the richer form shows local variables, and colours inside URLs.
_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _said(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """A line for a console, without passwords."""
    from sagas.redaction import redact  # noqa: PLC0415 - see above

    # An exception may quote half a surrogate pair, which the console cannot print.
    return redact(str(_console(logger, name, event))).encode(errors="backslashreplace").decode()


def logging_config(*, level: str, fmt: str) -> dict[str, Any]:
    """Build Django's ``LOGGING``: the same form for records of the standard library and of structlog."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        # The fields of the engine's failure log (sagas.failure_log).
        structlog.stdlib.ExtraAdder(allow=["saga", "step", "operation", "run_id", "attempt"]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    console = fmt == "console"
    final: list[Processor] = (
        [hide_passwords, _said]
        if console
        else [structlog.processors.format_exc_info, hide_passwords, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # With Django's own handlers every line would appear twice.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Celery's "received" and "succeeded" for every task: the run's log is the record, and this is the hot path.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # It prints a line at each start to the standard output of every command, which programs read.
            "axes.apps": {"level": "WARNING"},
            # It warns of each request that waits for a thread; these are answered all the same.
            "waitress.queue": {"level": "ERROR"},
        },
    }
