"""The environment of web, workers and clients: the servers' URLs, permanent secrets, and the demo's token."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from private_services.console import Failure
from private_services.instance import Instance, write_private

#: Generated at the first run and kept, so that sessions, signatures and the admin's password survive a restart.
_KEY_FILE: Final = "secret_key"
_DEMO_FILE: Final = "demo.env"
SERVICE_URLS: Final = ("DATABASE_URL", "RABBITMQ_URL", "REDIS_URL")


def demo_file(directory: Path) -> Path:
    """The file with everything that clients of the running platform need."""
    return directory / _DEMO_FILE


def check_given(services: Path) -> None:
    """Refuse a URL in the environment where nothing listens, before anything is started.

    Raises:
        Failure: it says which one. A URL of our own servers, in this folder, is no such case: they will be started.
    """
    own = set(Instance(services).environment().values())
    for name in SERVICE_URLS:
        if not (url := os.environ.get(name)) or url in own:
            continue
        try:
            parts = urlsplit(url)
            # Without a host it is a list or a socket, which only its client understands.
            if parts.hostname and parts.port:
                socket.create_connection((parts.hostname, parts.port), timeout=5).close()
        except ValueError:
            raise Failure(f"{name} is no URL.") from None
        except OSError as error:
            place = f"{parts.hostname}:{parts.port}"
            raise Failure(
                f"{name} is set to a server at {place}, which does not answer ({error.strerror or error}). "
                f"Start it; or unset {name}, and a private one is started."
            ) from None


def build(directory: Path, urls: dict[str, str]) -> dict[str, str]:
    """Return the environment of web, workers and management commands. Variables that are set take precedence."""
    known = _read(demo_file(directory))
    made: dict[str, Callable[[], str]] = {
        "SECRET_KEY": lambda: _lasting_key(directory / _KEY_FILE),
        "ADMIN_USER": lambda: known.get("ADMIN_USER") or "admin",
        "ADMIN_PASSWORD": lambda: known.get("ADMIN_PASSWORD") or secrets.token_urlsafe(12),
        "DEMO_PASSWORD": lambda: known.get("DEMO_PASSWORD") or secrets.token_urlsafe(12),
        "DRINKGROUP_WEBHOOK_SECRET": lambda: known.get("DRINKGROUP_WEBHOOK_SECRET") or _webhook_secret(),
        "GATEWAY_TOKEN": lambda: known.get("GATEWAY_TOKEN") or secrets.token_urlsafe(24),
        "METRICS_TOKEN": lambda: known.get("METRICS_TOKEN") or secrets.token_urlsafe(24),
    }
    return {
        **os.environ,
        **urls,
        **{name: os.environ.get(name) or make() for name, make in made.items()},
        "DJANGO_SETTINGS_MODULE": "drinkgroup.settings",
        "PYTHONUNBUFFERED": "1",
        # Without one, a sandbox is started.
        "GATEWAY_URL": os.environ.get("GATEWAY_URL", ""),
        "API_DOCS": os.environ.get("API_DOCS") or "on",
        "METRICS": os.environ.get("METRICS") or "on",
        # Not in a database that was given: a pooler may stand before it.
        "DATABASE_PREPARES": os.environ.get("DATABASE_PREPARES") or ("off" if "DATABASE_URL" in os.environ else "on"),
    }


def write_demo_file(
    directory: Path, environment: dict[str, str], *, url: str, token: str, others: dict[str, str]
) -> None:
    """Write URL, token and secret for clients, readable only by this user; with the URLs of other webs, by variable."""
    told = {"DRINKGROUP_URL": url, **others, "DRINKGROUP_TOKEN": token}
    for name in (
        "DRINKGROUP_WEBHOOK_SECRET",
        "GATEWAY_URL",
        "GATEWAY_TOKEN",
        "METRICS_TOKEN",
        "ADMIN_USER",
        "ADMIN_PASSWORD",
        "DEMO_PASSWORD",
        *SERVICE_URLS,
    ):
        told[name] = environment[name]
    write_private(demo_file(directory), "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items()))


def _read(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in shlex.split(file.read_text()))
    return {name: value for name, _, value in pairs}


def _lasting_key(file: Path) -> str:
    if not file.exists():
        write_private(file, secrets.token_urlsafe(48))
    return file.read_text()


def _webhook_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
