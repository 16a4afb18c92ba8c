"""The record of a run in a file, with which another terminal, or the next run, can stop its processes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from private_services.instance import write_private
from private_services.processes import Process

_RECORD: Final = "run.json"
_LOCK: Final = "run.lock"


@dataclass
class Record:
    """One run.

    Attributes:
        url: the address of its web.
        supervisor: the process of `scripts/run` itself.
        children: web and workers, by name.
        servers: names of the private servers that it started, without those that ran before.
    """

    url: str = ""
    supervisor: Process | None = None
    children: dict[str, Process] = field(default_factory=dict)
    servers: list[str] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Write it atomically."""
        write_private(directory / _RECORD, json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read the record of the last run; an empty one after a normal end."""
        file = directory / _RECORD
        if not file.exists():
            return cls()
        raw = json.loads(file.read_text())
        return cls(
            url=raw["url"],
            supervisor=Process(**raw["supervisor"]) if raw["supervisor"] else None,
            children={name: Process(**process) for name, process in raw["children"].items()},
            servers=raw["servers"],
        )

    @staticmethod
    def erase(directory: Path) -> None:
        """Delete the record, because nothing of the run is left."""
        (directory / _RECORD).unlink(missing_ok=True)


@contextmanager
def only_one(directory: Path) -> Iterator[bool]:
    """Whether this is the only run of the directory; the lock ends with the process, however that ends."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)
