"""Start processes, and recognise them later: by pid and start time, for the system hands out pids again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.02
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this machine, never confused with a later one of the same pid."""

    pid: int
    started: str

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """Give the process that has this pid now; a zombie is none."""
        started = _start_time(pid)
        return cls(pid, started) if started else None

    @property
    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return _start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that is gone already is fine."""
        # Between the look and the signal the pid could change hands only if the system had been through
        # all its pids in that moment.
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def family(self) -> list[Process]:
        """Give this process and all its descendants."""
        parents = _parents()
        pids = [self.pid]
        for pid in pids:  # grows while it is walked
            pids += [child for child, parent in parents.items() if parent == pid]
        return [process for pid in pids if (process := Process.find(pid))]

    def kill(self) -> None:
        """SIGKILL it with all its descendants, and wait till the last is gone."""
        # Stopped first, it neither starts more children nor sees them die and reacts.
        self.send(signal.SIGSTOP)
        family = self.family() if self.is_alive else []
        for process in family:
            process.send(signal.SIGKILL)
        wait_until(lambda: not any(process.is_alive for process in family), seconds=10)

    def stop(self, number: signal.Signals, seconds: float) -> bool:
        """Ask it to stop by a signal; tell whether it did in time."""
        self.send(number)
        return wait_until(lambda: not self.is_alive, seconds)


def spawn(command: Sequence[str | Path], *, environment: Mapping[str, str], directory: Path, log: Path) -> Process:
    """Start a server in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # It cannot be reaped by anyone else, so even if it has ended already there is an entry to read.
    return Process.find(child.pid) or Process(child.pid, "ended at once")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; tell whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


if sys.platform == "linux":

    def _stat(pid: int) -> list[str]:
        """Give the fields of /proc/PID/stat from the third on; none where there is no such process."""
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return []
        # The second field is the program's name in brackets, and may hold brackets and blanks itself.
        return stat[stat.rindex(")") + 2 :].split()

    def _start_time(pid: int) -> str:
        """Give the start time in ticks since boot; nothing where the process is gone or a zombie."""
        fields = _stat(pid)
        return fields[19] if fields and fields[0] not in {"Z", "X"} else ""

    def _parents() -> dict[int, int]:
        """Give the parent of each process."""
        pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
        return {pid: int(fields[1]) for pid in pids if (fields := _stat(pid))}

else:

    def _ps(*arguments: str) -> str:
        return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout

    def _start_time(pid: int) -> str:
        """Give the start time as ps writes it; nothing where the process is gone or a zombie."""
        state, _, started = _ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).strip().partition(" ")
        return started.strip() if state and not state.startswith("Z") else ""

    def _parents() -> dict[int, int]:
        """Give the parent of each process."""
        lines = (line.split() for line in _ps("-ax", "-o", "pid=", "-o", "ppid=").splitlines())
        return {int(pid): int(parent) for pid, parent in lines}
