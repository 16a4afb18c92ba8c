"""The software that the engine requires: versions of Python, packages and servers, and RabbitMQ as the broker.

``manage.py check``, the start of a worker and ``manage.py sagas doctor`` report each missing requirement in one line.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings

from sagas.conf import Misconfigured, config, is_rabbitmq_url

#: The oldest versions that the engine runs on. The tests run with these and with the pinned versions.
PYTHON = (3, 11)
PACKAGES: Mapping[str, tuple[int, ...]] = {
    "Django": (5, 2),
    "celery": (5, 5),
    "kombu": (5, 5),
    "redis": (5,),
    "pydantic": (2,),
}
SERVERS: Mapping[str, tuple[int, ...]] = {"PostgreSQL": (15,), "RabbitMQ": (3, 10), "Redis": (6,)}


@dataclass(frozen=True, slots=True)
class Lack:
    """A requirement that is not met.

    Attributes:
        what: the problem, in one sentence.
        remedy: what to do.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}"


def lacking() -> Iterator[Lack]:
    """Yield the unmet requirements of this process. Connects to no server."""
    yield from packages()
    yield from broker()
    for lack in (database(), driver()):
        if lack:
            yield lack


def insist_on_django() -> None:
    """Exit with one line if Django is too old to import the models.

    An exception would be shown with a long traceback, because nothing catches it while Django loads its apps.
    """
    if not _suffices(version("Django"), PACKAGES["Django"]):
        msg = f"sagas: {_too_old('Django', version('Django'), PACKAGES['Django'])}"
        raise SystemExit(msg)


def database() -> Lack | None:
    """Report a default database that is not PostgreSQL."""
    if _is_postgresql():
        return None
    return Lack(
        "The engine needs PostgreSQL: it claims work by FOR UPDATE SKIP LOCKED.",
        "Set DATABASES['default'] to a PostgreSQL database.",
    )


def driver() -> Lack | None:
    """Report a driver other than psycopg2. Django uses psycopg 3 if it is installed."""
    if not _is_postgresql():
        return None
    # Imported here, because the import fails if no driver is installed, as in a project on SQLite.
    from django.db.backends.postgresql import psycopg_any  # noqa: PLC0415

    if not psycopg_any.is_psycopg3:
        return None
    return Lack(
        "Django uses psycopg 3, by which the engine's SQL does not run: it is written for psycopg2.",
        "pip uninstall psycopg; psycopg2 is enough for Django too.",
    )


def _is_postgresql() -> bool:
    return "postgresql" in settings.DATABASES.get("default", {}).get("ENGINE", "")


def packages() -> Iterator[Lack]:
    """Yield Python and packages that are too old."""
    if not _suffices(platform.python_version(), PYTHON):
        yield _too_old("Python", platform.python_version(), PYTHON)
    for name, oldest in PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # vendored without metadata: its version is unknown, and not refused
        if not _suffices(found, oldest):
            yield _too_old(name.capitalize(), found, oldest)


def broker() -> Iterator[Lack]:
    """Report a broker that is not RabbitMQ, without its URL, which may contain a password."""
    try:
        url: Any = config().broker_url
    except Misconfigured:
        return  # the system checks report it
    if url is not None:
        return  # the settings were checked when they were parsed
    for source, found in (
        ("the environment's CELERY_BROKER_URL", os.environ.get("CELERY_BROKER_URL")),
        ("CELERY_BROKER_URL", getattr(settings, "CELERY_BROKER_URL", None)),
    ):
        if found and not is_rabbitmq_url(found):
            kind = found.partition("://")[0] if isinstance(found, str) and "://" in found else "something else"
            yield Lack(
                f"The engine needs RabbitMQ, and {source} is no amqp:// URL but {kind}.",
                "Set SAGAS['BROKER_URL'] to a RabbitMQ, amqp://user:password@host:5672/vhost; "
                "tasks of your own may stay where they are.",
            )
        if found:
            return


def server(name: str, found: str) -> Lack | None:
    """Report a server that is too old; ``None`` if it is not, or if its version cannot be parsed."""
    oldest = SERVERS[name]
    if not re.match(r"\d", found) or _suffices(found, oldest):
        return None
    return _too_old(name, found, oldest)


def _too_old(name: str, found: str, oldest: tuple[int, ...]) -> Lack:
    wanted = ".".join(map(str, oldest))
    return Lack(f"{name} {found} is too old: the engine needs {wanted} or later.", f"Upgrade {name}.")


def _suffices(found: str, oldest: tuple[int, ...]) -> bool:
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[: len(oldest)])
    return numbers >= oldest
