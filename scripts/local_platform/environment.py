"""The environment of web, workers and clients: the servers' URLs, permanent secrets, and the demo's token."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from private_services.instance import write_private

#: Generated at the first run and kept, so that sessions, signatures and the admin's password survive a restart.
_KEY_FILE: Final = "secret_key"
_DEMO_FILE: Final = "demo.env"
SERVICE_URLS: Final = ("DATABASE_URL", "RABBITMQ_URL", "REDIS_URL")


def demo_file(directory: Path) -> Path:
    """The file with everything that clients of the running platform need."""
    return directory / _DEMO_FILE


def build(directory: Path, urls: dict[str, str]) -> dict[str, str]:
    """Return the environment of web, workers and management commands. Variables that are set take precedence."""
    known = _read(demo_file(directory))
    made: dict[str, Callable[[], str]] = {
        "SECRET_KEY": lambda: _lasting_key(directory / _KEY_FILE),
        "ADMIN_USER": lambda: known.get("ADMIN_USER") or "admin",
        "ADMIN_PASSWORD": lambda: known.get("ADMIN_PASSWORD") or secrets.token_urlsafe(12),
        "DRINKGROUP_WEBHOOK_SECRET": lambda: known.get("DRINKGROUP_WEBHOOK_SECRET") or _webhook_secret(),
    }
    return {
        **os.environ,
        **urls,
        **{name: os.environ.get(name) or make() for name, make in made.items()},
        "DJANGO_SETTINGS_MODULE": "drinkgroup.settings",
        "PYTHONUNBUFFERED": "1",
        "API_DOCS": os.environ.get("API_DOCS") or "on",
    }


def write_demo_file(directory: Path, environment: dict[str, str], *, url: str, token: str) -> None:
    """Write URL, token and secret for clients, readable only by this user."""
    told = {"DRINKGROUP_URL": url, "DRINKGROUP_TOKEN": token}
    for name in ("DRINKGROUP_WEBHOOK_SECRET", "ADMIN_USER", "ADMIN_PASSWORD", *SERVICE_URLS):
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
