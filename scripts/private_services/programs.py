"""Find the servers' programs, also outside the PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from private_services.console import Failure

#: Searched in this order, after the PATH.
PLACES: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Fedora, from postgresql.org
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/sbin",
)


class Missing(Failure):
    """A required program is not on this machine."""

    exit_code = 2


def folders() -> Iterator[Path]:
    """All folders that may contain a server's programs."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    for pattern in PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def find(*names: str) -> Path:
    """Return the first program with one of these names, which are in order of preference.

    Raises:
        Missing: there is none.
    """
    search_path = os.pathsep.join(map(str, folders()))
    for name in names:
        if search_path and (found := shutil.which(name, path=search_path)):
            return Path(found)
    raise Missing(f"{names[0]} was not found.")


def folders_with(*names: str) -> list[Path]:
    """The folders that contain all these programs."""
    return [folder for folder in folders() if all(shutil.which(name, path=str(folder)) for name in names)]
