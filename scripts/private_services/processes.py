"""Start processes, and recognise them later by pid and start time, because the system reuses pids."""

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
        """The process that has this pid now; ``None`` for a zombie."""
        started = _start_time(pid)
        return cls(pid, started) if started else None

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return _start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal; ignore a process that is gone."""
        # Between the check and the signal the pid could be reused only if the system had used all others in that
        # moment.
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def family(self) -> list[Process]:
        """This process and all its descendants."""
        parents = _parents()
        pids = [self.pid]
        for pid in pids:  # grows during the iteration
            pids += [child for child, parent in parents.items() if parent == pid]
        return [process for pid in pids if (process := Process.find(pid))]

    def kill(self) -> None:
        """SIGKILL it with all its descendants, and wait until the last is gone."""
        # Stopped first, it neither starts more children nor reacts to their deaths.
        self.send(signal.SIGSTOP)
        family = self.family() if self.is_alive else []
        for process in family:
            process.send(signal.SIGKILL)
        wait_until(lambda: not any(process.is_alive for process in family), seconds=10)

    def stop(self, number: signal.Signals, seconds: float) -> bool:
        """Send a signal to stop it; return whether it ended in time."""
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
    # Only we can reap it, so even if it has already ended its entry is there.
    return Process.find(child.pid) or Process(child.pid, "ended at once")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


if sys.platform == "linux":

    def _stat(pid: int) -> list[str]:
        """The fields of /proc/PID/stat from the third on; none without such a process."""
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return []
        # The second field is the program's name in brackets, which may contain brackets and blanks.
        return stat[stat.rindex(")") + 2 :].split()

    def _start_time(pid: int) -> str:
        """The start time in ticks since boot; nothing for a process that is gone or a zombie."""
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
        """The start time as ps writes it; nothing for a process that is gone or a zombie."""
        state, _, started = _ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).strip().partition(" ")
        return started.strip() if state and not state.startswith("Z") else ""

    def _parents() -> dict[int, int]:
        """Give the parent of each process."""
        lines = (line.split() for line in _ps("-ax", "-o", "pid=", "-o", "ppid=").splitlines())
        return {int(pid): int(parent) for pid, parent in lines}
