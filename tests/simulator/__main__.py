"""``make simulate``: play as many schedules as wanted, on all processors, and report.

The exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from rich.console import Console


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
    from tests.simulator.processes import play_many
    from tests.support import servers

    try:
        databases.migrate()
        if asked.seed is not None:
            return _one(asked.seed)
        first = asked.first if asked.first is not None else int(time.time() * 1000) % 10**10
        return play_many(first, asked.number, max(1, min(asked.jobs, asked.number)))
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


if __name__ == "__main__":
    sys.exit(main())
