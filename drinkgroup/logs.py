"""Logs to stdout, one line an event: JSON for machines, in our fields or Elastic's; or a form for people."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from structlog.typing import EventDict, Processor, WrappedLogger

#: Names whose values are never logged.
_SECRET = ("authorization", "cookie", "password", "secret", "signature", "token")


def hide_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the values with secret names."""
    for key in event:
        if any(word in key.lower() for word in _SECRET):
            event[key] = "***"
    return event


def add_run(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add what is known of the saga, the step, the runs and the trace that a line is about."""
    from sagas.log_context import fields  # noqa: PLC0415 - as below

    for name, value in fields().items():
        event.setdefault(name, value)
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


#: Our fields, by the names that they have in Elastic's Common Schema, and beside it where it has none. What is not
#: here is a label.
ECS = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "event": "message",
    "trace_id": "trace.id",
    "request_id": "http.request.id",
    "run_id": "sagas.run.id",
    "run_ids": "sagas.run.ids",
    "runs": "sagas.cohort.size",
    "saga": "sagas.saga",
    "step": "sagas.step",
    "operation": "sagas.operation",
    "attempt": "sagas.attempt",
    "order_no": "drinkgroup.order_no",
}
#: The name of the service in each line; Filebeat chooses the index by it.
SERVICE = "drinkgroup"


def name_errors(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Name the class and the text of an exception beside its traceback."""
    given = event.get("exc_info")
    error = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else sys.exc_info()[1]
    if given and error is not None:
        event["error.type"] = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        event["error.message"] = str(error)
    return event


def to_ecs(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Give the fields the names of Elastic's Common Schema. ecs-logging nests them, and writes the JSON."""
    named: EventDict = {"service.name": SERVICE, "event.dataset": f"{SERVICE}.log"}
    for name, value in event.items():
        if name == "event" or name.startswith("error."):
            named[name] = value
        elif name == "exception":
            named["error.stack_trace"] = value
        elif name in ECS:
            named[ECS[name]] = value
        else:
            named[f"labels.{name.replace('.', '_')}"] = value if isinstance(value, str) else repr(value)
    return named


def _final(fmt: str) -> list[Processor]:
    """What writes a line."""
    if fmt == "console":
        return [hide_passwords, _said]
    if fmt == "ecs":
        # Loaded only for that.
        from ecs_logging import StructlogFormatter  # noqa: PLC0415

        # An exception may quote half a surrogate pair, which UTF-8 cannot write.
        written: Any = StructlogFormatter(ensure_ascii=True)
        return [name_errors, structlog.processors.format_exc_info, hide_passwords, to_ecs, written]
    if fmt != "json":
        msg = f"LOG_FORMAT is json, ecs or console, and not {fmt!r}"
        raise ImproperlyConfigured(msg)
    return [structlog.processors.format_exc_info, hide_passwords, structlog.processors.JSONRenderer()]


def logging_config(*, level: str, fmt: str) -> dict[str, Any]:
    """Build Django's ``LOGGING``: the same form for records of the standard library and of structlog."""
    shared: list[Processor] = [
        # First: what the engine does now is nearer than the request that this thread serves.
        add_run,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        # The fields of the engine's failure log (sagas.failure_log).
        structlog.stdlib.ExtraAdder(allow=["saga", "step", "operation", "run_id", "attempt", "trace_id"]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    final = _final(fmt)
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
