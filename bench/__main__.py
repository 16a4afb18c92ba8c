"""``make bench``: measure, print and store the figures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import paper, report, suite
from bench.measures import MEASURES, Options
from bench.servers import servers


def main() -> None:
    """Run measures; exit with 1 if a full run misses a target, or a measure fails."""
    options = _parser().parse_args()
    size = Options(options.quick, options.minutes, tuple(int(rows) for rows in options.rows.split(",") if rows))
    if options.publish:
        _publish()
        return
    if options.inside:
        with servers(keep=options.keep):
            _django()
            suite.inside(options.inside, size, options.into)
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting servers", total=None)

        def say(stage: str) -> None:
            progress.update(task, description=stage)
            if not console.is_terminal:
                console.print(stage)

        if other := _other(options):
            with servers(keep=options.keep):
                _django()
                other(say, progress, console)
            return
        names = options.only or [name for name, measure in MEASURES.items() if measure.usual]
        names += [name for name in ("peers", "full", "grid", "prune") if getattr(options, name) and name not in names]
        progress.update(task, total=None)
        result = suite.run(names, size, say, report.read() if options.add else None)
    report.show(result, console)
    console.print(f"see {os.path.relpath(report.OUT)} and {os.path.relpath(report.MARKDOWN)}")
    if failed := [name for name, found in result["measures"].items() if "failed" in found]:
        sys.exit(f"failed: {', '.join(failed)}")
    if (missed := report.missed(result["ratios"])) and not options.quick:
        sys.exit(f"missed: {', '.join(missed)}")


def _publish() -> None:
    try:
        left = paper.publish(report.read())
    except (KeyError, ValueError) as error:
        sys.exit(f"nothing is published: {error}")
    unmeasured = f", but for {', '.join(left)}" if left else ""
    Console().print(f"{os.path.relpath(paper.PAPER)} has the figures{unmeasured}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="measures:\n" + "\n".join(f"  {name:13} {found.title}" for name, found in MEASURES.items()),
    )
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a figure")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help="these measures, in this order")
    parser.add_argument("--add", action="store_true", help="keep what earlier runs have written of other measures")
    parser.add_argument(
        "--publish", action="store_true", help="write what was measured into docs/maintainers/performance.md"
    )
    parser.add_argument("--peers", action="store_true", help="other engines, too; each is installed once, under .run/")
    parser.add_argument("--full", action="store_true", help="tables with millions of ended runs, too")
    parser.add_argument("--grid", action="store_true", help="the settings whose defaults are measured, too")
    parser.add_argument("--prune", action="store_true", help="orders beside the pruning of old runs, too")
    parser.add_argument(
        "--minutes",
        type=float,
        default=1.0,
        help="for which the shop must hold its rate (default 1); with less, less is pruned, too",
    )
    parser.add_argument("--rows", default="1000000,3000000", help="ended runs, for the measure of full tables")
    parser.add_argument(
        "--variants", action="store_true", help="compare the carriers, see docs/maintainers/four-variants.md"
    )
    parser.add_argument("--trips", action="store_true", help="count the modules that an order passes through instead")
    parser.add_argument("--walk", action="store_true", help="with --trips: print these modules in their order")
    parser.add_argument("--door", action="store_true", help="measure the CPU time of one POST orders/ instead")
    parser.add_argument("--crowded", action="store_true", help="measure claims beside an open transaction instead")
    parser.add_argument("--keep", action="store_true", help="leave the servers running")
    parser.add_argument("--inside", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser


def _other(options: argparse.Namespace) -> Callable[[Callable[[str], None], Progress, Console], Any] | None:
    """What is wanted instead of measures, if anything. Its modules read Django's settings, which come later."""

    def variants(say: Callable[[str], None], progress: Progress, console: Console) -> None:
        from bench import variants  # noqa: PLC0415

        found = variants.run(say)
        progress.stop()
        variants.show(found, console)

    def crowded(say: Callable[[str], None], progress: Progress, console: Console) -> None:
        from bench import crowded  # noqa: PLC0415

        found = crowded.run(say)
        progress.stop()
        crowded.show(found, console)

    def trips(_say: Callable[[str], None], progress: Progress, console: Console) -> None:
        from bench import trips  # noqa: PLC0415

        progress.stop()
        trips.run(console, walk=options.walk)

    def door(_say: Callable[[str], None], progress: Progress, console: Console) -> None:
        from bench import door  # noqa: PLC0415

        progress.stop()
        door.run(console)

    if options.variants:
        return variants
    if options.door:
        return door
    if options.crowded:
        return crowded
    return trips if options.trips or options.walk else None


def _django() -> None:
    import django  # noqa: PLC0415 - the URLs are in the environment only now

    django.setup()


if __name__ == "__main__":
    main()
