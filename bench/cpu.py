"""The CPU time of processes, by kind: read from ``/proc``, and so Linux only.

A kind is one process with all its descendants, such as a worker with its children. The time of descendants that have
ended is in their parents' ``cutime`` and ``cstime``, so nothing is lost or counted twice. Rates change by a third with
the load of the machine; the time that a run costs changes far less.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.servers import DIRECTORY

#: Seconds by kind of process.
Seconds = dict[str, float]
#: By process: its parent, and its own seconds with those of its ended children.
Table = Mapping[int, tuple[int, float]]

_TICKS = os.sysconf("SC_CLK_TCK")


def parse(stat: str) -> tuple[int, int, float]:
    """Process, parent and seconds from a line of ``/proc/PID/stat``, whose second field may contain anything."""
    before, _, after = stat.rpartition(")")
    fields = after.split()
    return int(before.split(maxsplit=1)[0]), int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def table() -> dict[int, tuple[int, float]]:
    """All processes of this machine."""
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent, seconds = parse(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
        found[pid] = parent, seconds
    return found


def of_tree(root: int, processes: Table) -> float:
    """Seconds of a process and all its descendants."""
    children = defaultdict(list)
    for pid, (parent, _) in processes.items():
        children[parent].append(pid)
    total, left = 0.0, [root]
    while left:
        pid = left.pop()
        total += processes[pid][1] if pid in processes else 0.0
        left += children[pid]
    return total


def read(roots: Mapping[str, Sequence[int]]) -> Seconds:
    """Seconds so far, by kind.

    Args:
        roots: by kind, processes that are counted with their descendants.
    """
    processes = table()
    return {kind: sum(of_tree(pid, processes) for pid in pids) for kind, pids in roots.items()}


def servers() -> dict[str, list[int]]:
    """The main processes of this benchmark's servers, by name."""
    known = json.loads((DIRECTORY / "instance.json").read_text())["processes"]
    names = {"postgres": "postgresql", "rabbitmq": "rabbitmq", "redis": "redis"}
    return {names[name]: [process["pid"]] for name, process in known.items() if name in names}


def per_run(before: Seconds, after: Seconds, runs: int) -> Seconds:
    """Milliseconds a run, by kind and in ``total``."""
    found = {kind: (after[kind] - before[kind]) * 1000 / runs for kind in after}
    return {**found, "total": sum(found.values())}
