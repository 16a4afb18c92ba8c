"""Logs to stdout, one line an event: JSON for machines, ``LOG_FORMAT=console`` for people."""

from __future__ import annotations

from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: Never in a log, by whatever name it is passed.
_SECRET = ("authorization", "cookie", "password", "secret", "signature", "token")


def hide_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the values whose names say that they are secret."""
    for key in event:
        if any(word in key.lower() for word in _SECRET):
            event[key] = "***"
    return event


def hide_passwords(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the passwords of URLs in whatever is said, and in tracebacks."""
    # Not above: this is read while the settings are, which the engine's modules may ask for.
    from sagas.redaction import redact_all  # noqa: PLC0415

    return {key: value if key == "exc_info" else redact_all(value) for key, value in event.items()}


#: Not its richer form of tracebacks, which shows local variables, and colours in the middle of URLs.
_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _said(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """A line for a person's console, without passwords."""
    from sagas.redaction import redact  # noqa: PLC0415 - see above

    # Half a surrogate, which some exception may quote, is no text that the console takes.
    return redact(str(_console(logger, name, event))).encode(errors="backslashreplace").decode()


def logging_config(*, level: str, fmt: str) -> dict[str, Any]:
    """Make Django's ``LOGGING``: the standard library's records and structlog's own, in one form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        # What the engine says of an operation that broke; see sagas.failure_log.
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
            # Django's own handlers would say everything twice.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # "received" and "succeeded" for every task: the engine's own log is the record, and this is the hot path.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # A line at each start, on the standard output of every command, where machines read.
            "axes.apps": {"level": "WARNING"},
            # A warning for each request that waits for a thread: those who wait are answered all the same.
            "waitress.queue": {"level": "ERROR"},
        },
    }
