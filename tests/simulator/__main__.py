"""``make simulate``: play as many schedules as wanted, on all processors, and report.

The exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.queues import Queue
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Schedules after which a process tells how far it is, and empties its tables.
BATCH = 200
#: Bugs that are shrunk, a process: more of one kind say little.
SHRUNK = 3


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=2000, help="schedules to play")
    parser.add_argument("--first", type=int, help="seed of the first; from the clock by default")
    parser.add_argument("--seed", type=int, help="play this one, and tell its story")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from tests.simulator import databases
    from tests.support import servers

    try:
        databases.migrate()
        if asked.seed is not None:
            return _one(asked.seed)
        first = asked.first if asked.first is not None else int(time.time() * 1000) % 10**10
        return _many(first, asked.number, max(1, min(asked.jobs, asked.number)))
    finally:
        servers.destroy()


def _one(seed: int) -> int:
    from tests.simulator import databases
    from tests.simulator.bench import Bench
    from tests.simulator.play import play_seed

    with databases.used(0), Bench.open() as bench:
        played = play_seed(bench, seed)
    Console().print(played.report(), markup=False, highlight=False)
    return int(played.failed)


def _many(first: int, number: int, jobs: int) -> int:
    from tests.simulator import databases
    from tests.simulator.report import Report

    console = Console()
    console.print(f"{number:,} schedules, seeds {first} to {first + number - 1}")
    # Not forked: a connection and what is patched in are one process's own.
    context = multiprocessing.get_context("spawn")
    told: Queue[Any] = context.Queue()
    began = time.monotonic()
    total = Report()
    for job in range(jobs):
        databases.copy(job)
    processes = [context.Process(target=_work, args=(job, jobs, first, number, told)) for job in range(jobs)]
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
                progress.update(bar, completed=total.schedules, bugs=len(total.bugs))
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for job in range(jobs):
            databases.drop(job)
    total.show(console, seconds=time.monotonic() - began, jobs=jobs)
    return int(bool(total.bugs))


def _work(job: int, jobs: int, first: int, number: int, told: Queue[Any]) -> None:
    """One process: every so-many-th seed."""
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
            report, shrinks = Report(), 0
            for seed in range(first + job, first + number, jobs):
                played = play_seed(bench, seed)
                report.count(played)
                if played.failed:
                    shrinks += 1
                    smallest = shrunk(bench, played) if shrinks <= SHRUNK else played
                    report.bugs[seed] = smallest.report()
                if report.schedules >= BATCH:
                    told.put(report)
                    report = Report()
                    bench.wipe()
            told.put(report)
        told.put(None)
    except BaseException as error:
        import traceback

        told.put(f"process {job}: {error!r}\n{traceback.format_exc()}")
        raise


if __name__ == "__main__":
    sys.exit(main())
