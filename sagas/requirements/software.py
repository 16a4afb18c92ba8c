"""The software that the engine requires: versions of Python, packages and servers, and RabbitMQ as the broker.

``manage.py check``, the start of a worker and ``manage.py sagas doctor`` report each missing requirement in one line.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import load_backend

from sagas.conf import Misconfigured, config, is_rabbitmq_url
from sagas.requirements import extras
from sagas.requirements.lack import Lack

#: The oldest versions that the engine runs on. The tests run with these and with the pinned versions.
PYTHON = (3, 11)
PACKAGES: Mapping[str, tuple[int, ...]] = {
    "Django": (5, 2),
    "celery": (5, 5),
    "kombu": (5, 5),
    "redis": (5,),
    "pydantic": (2, 7),
}
#: The drivers of PostgreSQL, in the order in which Django looks for them.
DRIVERS: Mapping[str, tuple[int, ...]] = {"psycopg": (3, 2), "psycopg2": (2, 9)}
SERVERS: Mapping[str, tuple[int, ...]] = {"PostgreSQL": (15,), "RabbitMQ": (3, 10), "Redis": (6,)}


def lacking() -> Iterator[Lack]:
    """Yield the unmet requirements of this process. Connects to no server."""
    yield from packages()
    yield from extras.missing()
    yield from broker()
    for lack in (database(), driver()):
        if lack:
            yield lack


def insist_on_django_and_driver() -> None:
    """Exit with one line if models cannot be imported: Django is too old, or no driver of PostgreSQL will do.

    An exception would be shown with a long traceback, because nothing catches it while Django loads its apps.
    """
    found = version("Django")
    lack = driver() if _suffices(found, PACKAGES["Django"]) else _too_old("Django", found, PACKAGES["Django"])
    if lack:
        msg = f"sagas: {lack}"
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
    """Report that there is no driver of PostgreSQL, or that the one which Django takes is too old."""
    if lack := extras.driver():
        return lack
    # By its name, too: a backend cannot be loaded without a driver.
    if "postgresql" not in settings.DATABASES.get("default", {}).get("ENGINE", "") and not _is_postgresql():
        return None
    broken = ""
    # Django takes the first that can be imported.
    for name, oldest in DRIVERS.items():
        if not extras.is_installed(name):
            continue
        try:
            found = str(import_module(name).__version__).partition(" ")[0]
        except ImportError as error:
            broken += f" {name}: {str(error).strip().partition(chr(10))[0].rstrip('.')}."
            continue
        return None if _suffices(found, oldest) else _too_old(name, found, oldest)
    return Lack(f"No driver of PostgreSQL can be imported:{broken}", "Install one again.") if broken else None


def _is_postgresql() -> bool:
    return is_postgresql(settings.DATABASES.get("default", {}))


def is_postgresql(database: Mapping[str, Any]) -> bool:
    """Whether a database of ``DATABASES`` is PostgreSQL, whatever its backend: PostGIS, say, or a project's own."""
    engine = str(database.get("ENGINE", ""))
    if not engine:
        return False
    try:
        return bool(load_backend(engine).DatabaseWrapper.vendor == "postgresql")
    except (ImportError, ImproperlyConfigured):
        return False  # Django says why at the first connection


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
        if config().broker is None:
            return
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
