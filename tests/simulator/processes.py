"""Schedules in several processes at a time, each on a copy of the database.

Not in ``__main__``: a process that is started afresh does not import that.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

#: Schedules that a process takes at a time, at most; after them it tells how far it is, and empties its tables.
BATCH = 200
#: Bugs that are shrunk, a process: more of one kind say little.
SHRUNK = 3


@dataclass(frozen=True, slots=True)
class _Seeds:
    """What is to be played, taken batch by batch: who is slower takes fewer.

    Attributes:
        taken: how many batches are.
    """

    first: int
    number: int
    size: int
    taken: Synchronized[int]

    def batches(self) -> Iterator[range]:
        """Those that this process is the first to ask for."""
        while True:
            with self.taken.get_lock():
                begin = self.taken.value * self.size
                self.taken.value += 1
            if begin >= self.number:
                return
            yield range(self.first + begin, self.first + min(begin + self.size, self.number))


def play_many(first: int, number: int, jobs: int) -> int:
    """Play so many schedules in so many processes; the exit code."""
    from tests.simulator import databases
    from tests.simulator.report import Report

    console = Console()
    console.print(f"{number:,} schedules, seeds {first} to {first + number - 1}")
    # Not forked: a connection and what is patched in are one process's own.
    context = multiprocessing.get_context("spawn")
    told: Queue[Any] = context.Queue()
    seeds = _Seeds(first, number, min(BATCH, math.ceil(number / jobs)), context.Value("q", 0))
    began = time.monotonic()
    total = Report()
    for job in range(jobs):
        databases.copy(job)
    processes = [context.Process(target=_work, args=(job, seeds, told)) for job in range(jobs)]
    try:
        for process in processes:
            process.start()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[bugs]} bug(s)"),
        )
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("schedules", total=number, bugs=0)
            working = jobs
            while working:
                report = told.get()
                if isinstance(report, str):
                    console.print(report, markup=False)
                    return 2
                if report is None:
                    working -= 1
                    continue
                total.add(report)
                report.show_bugs(console)
                progress.update(bar, completed=total.schedules, bugs=len(total.bugs))
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for job in range(jobs):
            databases.drop(job)
    total.show(console, seconds=time.monotonic() - began, jobs=jobs)
    return int(bool(total.bugs))


def _work(job: int, seeds: _Seeds, told: Queue[Any]) -> None:
    """One process: the next batch of seeds that nobody has taken, again and again."""
    import django

    django.setup()
    from tests.simulator import databases
    from tests.simulator.bench import Bench, pin
    from tests.simulator.play import play_seed, shrunk
    from tests.simulator.report import Report

    try:
        databases.use(job)
        with Bench.open() as bench:
            pin(bench, job)
            shrinks = 0
            for batch in seeds.batches():
                report = Report()
                for seed in batch:
                    played = play_seed(bench, seed)
                    report.count(played)
                    if played.failed:
                        shrinks += 1
                        smallest = shrunk(bench, played) if shrinks <= SHRUNK else played
                        report.bugs[seed] = smallest.report()
                told.put(report)
                bench.wipe()
        told.put(None)
    except BaseException as error:
        import traceback

        told.put(f"process {job}: {error!r}\n{traceback.format_exc()}")
        raise
