"""``manage.py sagas prune``: deletes runs that ended long ago."""

from __future__ import annotations

import argparse
import math
from typing import Any

from django.core.management.base import CommandParser, OutputWrapper

from sagas import store
from sagas.conf import MOST_PRUNED
from sagas.retention import ages, pruning
from sagas.retention.pruning import Batch


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--rate", type=_rate, default=500.0, metavar="RUNS", help="At most so many a second (500).")
    parser.add_argument(
        "--batch",
        type=_batch,
        default=200,
        metavar="RUNS",
        help=f"At most so many a transaction (200; ≤ {MOST_PRUNED}).",
    )
    parser.add_argument("--dry-run", action="store_true", help="Only say how many there are. It reads every run.")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        msg = "give a number of runs a second, above 0"
        raise argparse.ArgumentTypeError(msg)
    return rate


def _batch(text: str) -> int:
    batch = int(text)
    if not 0 < batch <= MOST_PRUNED:
        msg = f"give a number of runs from 1 to {MOST_PRUNED}"
        raise argparse.ArgumentTypeError(msg)
    return batch


def run(out: OutputWrapper, *, rate: float, batch: int, dry_run: bool, **_: Any) -> None:
    """Delete them, and say how many; or only count them."""
    if dry_run:
        count(out)
        return
    done = pruning.prune(limit=batch, rate=rate)
    report(out, done, "deleted")


def count(out: OutputWrapper) -> None:
    """Say how many runs are old enough, without the runs that are steps of them."""
    found = store.retention.pruning.count_due(ages.cutoffs(store.runs.clock()))
    for saga, state, number in found:
        out.write(f"{saga} {state}: {number} run(s) are old enough")
    if not found:
        out.write("no run is old enough")


def report(out: OutputWrapper, done: Batch, what: str) -> None:
    """Say what was done."""
    out.write(f"{done.runs} run(s) {what}")
    if done.left:
        out.write(
            f"{done.left} old run(s) stay for now: something is held for them, an event or an escalation of them is "
            "open, a run of their family has not ended so long ago, or is locked; or another database is away"
        )
