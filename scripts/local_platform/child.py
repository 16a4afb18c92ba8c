"""One process of ours that must run as long as the platform: started, watched, stopped with all its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from private_services.processes import Process

_LOUD: Final = {"warning", "error", "critical"}
#: gunicorn's own lines, which are no JSON.
_BRACKETED: Final = re.compile(r"\[(WARNING|ERROR|CRITICAL)\] (.*)")
_WIDTH: Final = 240


class Child:
    """A process in a session of its own: Ctrl-C in the terminal reaches only its supervisor.

    Args:
        name: what it is called on the console.
        command: what to run.
        environment: its whole environment.
        directory: where it runs.
        log: where its output goes; that of the last time is kept beside it.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str], directory: Path, log: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._read = 0
        self._seen = b""

    @property
    def identity(self) -> Process:
        """By which it is found again from elsewhere."""
        pid = self._process.pid
        # Not reaped yet, so the pid is still its own.
        return Process.find(pid) or Process(pid, "ended at once")

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self._process.poll()

    def said(self, text: str) -> bool:
        """Whether this stands in its log."""
        return text in self.log.read_text(errors="replace")

    def warnings(self) -> Iterator[str]:
        """Give what it has logged since the last call that somebody should see, short."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            fresh = log.read()
        self._read += len(fresh)
        *whole, self._seen = (self._seen + fresh).split(b"\n")
        for line in whole:
            warning = _warning(line.decode(errors="replace"))
            if warning:
                yield f"{self.name:7} | {warning if len(warning) <= _WIDTH else warning[: _WIDTH - 1] + '…'}"

    def ask_to_stop(self) -> None:
        """SIGTERM: finish what is in hand, take on nothing new."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, seconds: float) -> None:
        """Wait for its end; then end whatever is left of it and of the processes it started."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        # A group keeps its number as long as anybody is in it, so this can hit nobody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _warning(line: str) -> str | None:
    """Make a short line of a log line that is a warning or worse."""
    if line.startswith("{"):
        with suppress(ValueError):
            entry = json.loads(line)
            level = str(entry.get("level", ""))
            return f"{level}: {entry.get('event', '')}" if level in _LOUD else None
    found = _BRACKETED.search(line)
    return f"{found[1].lower()}: {found[2]}" if found else None
