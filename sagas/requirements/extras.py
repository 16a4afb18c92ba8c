"""The packages that only some projects need: which ones are missing here, and the extra that installs each.

``import sagas`` needs Django, pydantic and uuid-utils alone. Everything else is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from django.conf import settings

from sagas.conf import Misconfigured, config
from sagas.requirements.lack import Lack

#: By the name of the module: what people call the package, and the extra of ``django-sagas`` that installs it.
EXTRAS = {
    "celery": ("Celery", "celery"),
    "redis": ("redis-py", "redis"),
    "apprise": ("apprise", "notices"),
    "opentelemetry": ("OpenTelemetry", "otel"),
    "prometheus_client": ("prometheus-client", "prometheus"),
}
#: The drivers of PostgreSQL, by the names of their modules; each is also the name of its extra.
DRIVERS = ("psycopg", "psycopg2")


def is_installed(module: str) -> bool:
    """Whether a package can be imported. It is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def install(extra: str) -> str:
    """The command that installs an extra. It is quoted, because ``[`` means something to shells."""
    return f"pip install 'django-sagas[{extra}]'"


def require(module: str, what: str) -> None:
    """Raise an ``ImportError`` that names the extra, if a package is missing; ``what`` needs it."""
    if not is_installed(module):
        (name, extra) = EXTRAS[module]
        msg = f"{what} needs {name}, which is not installed: {install(extra)}"
        raise ImportError(msg, name=module)


def celery() -> Lack | None:
    """Report that there is a broker and no Celery."""
    try:
        if config().broker is None or is_installed("celery"):
            return None
    except Misconfigured:
        return None  # the system checks report it
    return Lack(
        "SAGAS has a broker, and Celery is not installed.",
        f"{install('celery')}; or set SAGAS['BROKER'] = None, and run manage.py sagas work in place of workers.",
    )


def redis() -> Lack | None:
    """Report that there is a URL of Redis and no redis-py."""
    try:
        if not config().redis_url or is_installed("redis"):
            return None
    except Misconfigured:
        return None  # the system checks report it
    return Lack(
        "SAGAS['REDIS_URL'] is set, and redis-py is not installed: runs begin at the next tick instead of at once.",
        f"{install('redis')}; or leave REDIS_URL out.",
    )


def driver() -> Lack | None:
    """Report a database of PostgreSQL and no driver. Django cannot load any model then."""
    engine = settings.DATABASES.get("default", {}).get("ENGINE", "")
    if not ("postgresql" in engine or "postgis" in engine) or any(map(is_installed, DRIVERS)):
        return None
    return Lack(
        "DATABASES['default'] is PostgreSQL, and neither psycopg nor psycopg2 is installed.",
        " or ".join(map(install, DRIVERS)) + ".",
    )


def missing() -> Iterator[Lack]:
    """Yield the packages that ``SAGAS`` needs and that are not installed."""
    yield from filter(None, (celery(), redis()))
