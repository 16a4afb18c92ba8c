"""One directory of private servers, with their ports, passwords and processes."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from private_services import ports
from private_services.console import Failure
from private_services.processes import Process

_MEMORY: Final = "instance.json"
_LOCK: Final = "lock"
_ENVIRONMENT: Final = "services.env"


class Instance:
    """The servers of one directory. All their files are inside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._memory = self.directory / _MEMORY

    @property
    def exists(self) -> bool:
        """Whether servers were ever started here."""
        return self._memory.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory against a second command; create it if necessary.

        Raises:
            Failure: the directory has other contents, which `destroy` would delete.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.exists:
                if any(entry.name != _LOCK for entry in self.directory.iterdir()):
                    raise Failure(f"{self.directory} is not empty and not ours: name another directory.")
                self._write({})
            yield

    def log(self, name: str) -> Path:
        """The log file of a server, or of a part of one."""
        return self.directory / f"{name}.log"

    def port(self, name: str) -> int | None:
        """The port that was chosen for this name, if any."""
        known: int | None = self._recall("ports", name)
        return known

    def claim_port(self, name: str) -> int:
        """Return a free port for this name: the previous one, unless it is taken."""
        known = self.port(name)
        if known is not None and ports.is_free(known):
            return known
        chosen = ports.choose(taken=set(self._read().get("ports", {}).values()))
        self._remember("ports", name, chosen)
        return chosen

    def secret(self, name: str) -> str:
        """Return the password for this name, generated at the first call."""
        known = self._recall("secrets", name)
        if known is None:
            known = secrets.token_hex(16)
            self._remember("secrets", name, known)
        return str(known)

    def process(self, name: str) -> Process | None:
        """The process that was started under this name, if it still runs."""
        known = self._recall("processes", name)
        process = Process(**known) if known else None
        return process if process and process.is_alive else None

    def remember_process(self, name: str, process: Process) -> None:
        """Store a process, so that it, and no other, can be stopped later."""
        self._remember("processes", name, vars(process))

    def environment(self) -> dict[str, str]:
        """The variables of services.env."""
        file = self.directory / _ENVIRONMENT
        lines = file.read_text().splitlines() if file.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def update_environment(self, urls: dict[str, str]) -> Path:
        """Write URLs into services.env; those of other servers stay."""
        known = self.environment() | urls
        file = self.directory / _ENVIRONMENT
        write_private(file, "".join(f"{name}={url}\n" for name, url in sorted(known.items())))
        return file

    def delete(self) -> None:
        """Delete the directory with all data."""
        shutil.rmtree(self.directory)

    def _recall(self, kind: str, name: str) -> Any:
        return self._read().get(kind, {}).get(name)

    def _remember(self, kind: str, name: str, value: object) -> None:
        memory = self._read()
        memory.setdefault(kind, {})[name] = value
        self._write(memory)

    def _read(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self._memory.read_text())) if self.exists else {}

    def _write(self, memory: dict[str, dict[str, Any]]) -> None:
        write_private(self._memory, json.dumps(memory, indent=2))


def write_private(file: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
