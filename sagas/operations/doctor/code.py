"""Probes of the code: whether it can be imported, and whether it can continue the unfinished runs."""

from __future__ import annotations

from collections.abc import Iterator

from sagas import runtime, store
from sagas.conf import Misconfigured, config
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.requests import find as find_unreadable
from sagas.requirements import extras, software


def needs() -> Iterator[Finding]:
    """Report software that is too old, a broker that is not RabbitMQ, and Celery settings that break promises."""
    try:
        found = [*software.lacking()]
        if config().broker is not None and not extras.celery():
            # Without a broker Celery need not be installed.
            from sagas.messaging.app import find_unfit_settings  # noqa: PLC0415

            found += find_unfit_settings()
    except Misconfigured as error:
        yield Finding(Severity.ERROR, error.message, remedy=error.hint)
        return
    for lack in found:
        yield Finding(Severity.ERROR, lack.what, remedy=lack.remedy)


def modules() -> Iterator[Finding]:
    """Report ``sagas.py`` modules that cannot be imported."""
    for module, error in runtime.declared.failed_imports.items():
        what = f"{module} cannot be imported: {type(error).__name__}: {error}."
        yield Finding(
            Severity.ERROR,
            what,
            remedy="Repair the module. Until then its runs wait; after some leases they are escalated.",
        )


def definitions() -> Iterator[Finding]:
    """Report unfinished runs whose definition the code no longer has."""
    problems = store.definitions.problems()
    for problem in problems:
        yield Finding(
            Severity.ERROR,
            f"{problem.runs} of {problem.saga} version {problem.version} cannot go on here: {problem.what}.",
            problem.live + problem.escalated,
            problem.remedy,
        )
    if not problems:
        yield Finding(Severity.FINE, "Every unfinished run can go on with the code that is here.")


def requests() -> Iterator[Finding]:
    """Report unfinished runs whose request the code can no longer read."""
    found = find_unreadable()
    for group in found:
        runs = f"{group.live} live and {group.escalated} escalated run(s) of {group.saga} version {group.version}"
        yield Finding(
            Severity.ERROR,
            f"The requests of {runs} cannot be read here: {group.error} (run {group.first}).",
            group.live + group.escalated,
            "Give the new fields of the request's type defaults, so that it accepts old requests. Or give the changed "
            "saga the next version, and keep the old class beside it until its runs have ended.",
        )
    if not found:
        yield Finding(Severity.FINE, "The request of every unfinished run can be read here.")
