"""One process of the platform: started, watched, and stopped with its children."""

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
#: gunicorn's own lines, which are not JSON.
_BRACKETED: Final = re.compile(r"\[(WARNING|ERROR|CRITICAL)\] (.*)")
_WIDTH: Final = 240


class Child:
    """A process in a session of its own: Ctrl-C in the terminal reaches only its supervisor.

    Args:
        name: its name on the console.
        command: the command to run.
        environment: its whole environment.
        directory: where it runs.
        log: the file for its output; the previous output is kept beside it.
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
        """The identity by which another process finds it."""
        pid = self._process.pid
        # It is not reaped yet, so the pid is still its own.
        return Process.find(pid) or Process(pid, "ended at once")

    @property
    def exit_code(self) -> int | None:
        """Its exit code; ``None`` while it runs."""
        return self._process.poll()

    def said(self, text: str) -> bool:
        """Whether its log contains this text."""
        return text in self.log.read_text(errors="replace")

    def warnings(self) -> Iterator[str]:
        """Return, in short, the warnings that it has logged since the last call."""
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
        """SIGTERM: finish the current work, and begin nothing new."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, seconds: float) -> None:
        """Wait for its end; then kill its remaining children."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        # A process group keeps its number as long as it has members, so this can hit no other process.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _warning(line: str) -> str | None:
    """Shorten a log line that is a warning or worse."""
    if line.startswith("{"):
        with suppress(ValueError):
            entry = json.loads(line)
            level = str(entry.get("level", ""))
            return f"{level}: {entry.get('event', '')}" if level in _LOUD else None
    found = _BRACKETED.search(line)
    return f"{found[1].lower()}: {found[2]}" if found else None
