"""What the engine needs to run at all: versions of Python, packages and servers, and which kind of broker.

Asked in three places, each with one line for whatever is lacking: ``manage.py check``, the start of a worker, and
``manage.py sagas doctor``.
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

from sagas.conf import Misconfigured, config, is_amqp

#: The oldest version of each that the engine runs on. Tested are these and the pinned ones.
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
    """Something that the engine needs and has not.

    Attributes:
        what: one sentence.
        remedy: what to do.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}"


def lacking() -> Iterator[Lack]:
    """What this process lacks, whatever the servers are. Connects to nothing."""
    yield from packages()
    yield from broker()
    for lack in (database(), driver()):
        if lack:
            yield lack


def insist_on_django() -> None:
    """End here, with one line, where Django is too old for the models to be imported at all.

    An exit, and no exception: this happens while Django loads its apps, where nobody catches anything. Whatever is
    started, a command, a worker or a web process, would show a traceback in which the line is lost.
    """
    if not _suffices(version("Django"), PACKAGES["Django"]):
        msg = f"sagas: {_too_old('Django', version('Django'), PACKAGES['Django'])}"
        raise SystemExit(msg)


def database() -> Lack | None:
    """Whether the engine's database is something else than PostgreSQL."""
    if _is_postgresql():
        return None
    return Lack(
        "The engine needs PostgreSQL: it claims work by FOR UPDATE SKIP LOCKED.",
        "Set DATABASES['default'] to a PostgreSQL database.",
    )


def driver() -> Lack | None:
    """Whether PostgreSQL is spoken to by another driver than psycopg2. Django prefers psycopg 3 where that is there."""
    if not _is_postgresql():
        return None
    # Not above: without any driver, or in a project on SQLite, it cannot be imported.
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
    """Python and packages that are too old."""
    if not _suffices(platform.python_version(), PYTHON):
        yield _too_old("Python", platform.python_version(), PYTHON)
    for name, oldest in PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # vendored without its metadata: what cannot be told is not refused
        if not _suffices(found, oldest):
            yield _too_old(name.capitalize(), found, oldest)


def broker() -> Iterator[Lack]:
    """A broker that is not RabbitMQ. Its URL has a password in it, and is not shown."""
    try:
        url: Any = config().broker_url
    except Misconfigured:
        return  # said elsewhere
    if url is not None:
        return  # checked as it was parsed
    for source, found in (
        ("the environment's CELERY_BROKER_URL", os.environ.get("CELERY_BROKER_URL")),
        ("CELERY_BROKER_URL", getattr(settings, "CELERY_BROKER_URL", None)),
    ):
        if found and not is_amqp(found):
            kind = found.partition("://")[0] if isinstance(found, str) and "://" in found else "something else"
            yield Lack(
                f"The engine needs RabbitMQ, and {source} is no amqp:// URL but {kind}.",
                "Set SAGAS['BROKER_URL'] to a RabbitMQ, amqp://user:password@host:5672/vhost; "
                "tasks of your own may stay where they are.",
            )
        if found:
            return


def server(name: str, found: str) -> Lack | None:
    """Say that a server is too old, by what it says its version is; ``None`` if it is not, or says nothing known."""
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
