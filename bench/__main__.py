"""``make bench``: measure, print and store the figures."""

from __future__ import annotations

import argparse
import os

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import figures, report
from bench.servers import servers


def main() -> None:
    """Run all measurements; exit with 1 if a full run misses a target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a figure")
    parser.add_argument(
        "--variants", action="store_true", help="compare the carriers instead, see docs/four-variants.md"
    )
    parser.add_argument("--trips", action="store_true", help="count the modules that an order passes through instead")
    parser.add_argument("--walk", action="store_true", help="with --trips: print these modules in their order")
    parser.add_argument("--keep", action="store_true", help="leave the servers running")
    options = parser.parse_args()
    console = Console()
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting servers", total=None)
        with servers(keep=options.keep):
            # Imported here, because these modules read Django's settings, and the URLs are in the environment only now.
            import django  # noqa: PLC0415

            django.setup()
            from bench import run, trips, variants  # noqa: PLC0415

            if options.variants:
                found = variants.run(lambda stage: progress.update(task, description=stage))
                progress.stop()
                variants.show(found, console)
                return
            if options.trips or options.walk:
                progress.stop()
                trips.run(console, walk=options.walk)
                return
            size = run.QUICK if options.quick else run.FULL
            progress.update(task, total=size.stages, completed=-1)
            result = run.run(size, lambda stage: progress.update(task, description=stage, advance=1))
            progress.update(task, description="done", advance=1)
    report.write(result)
    report.show(result, console)
    console.print(f"all orders succeeded, and the stock adds up; see {os.path.relpath(report.OUT)}")
    missed = figures.missed(result["ratios"])
    if missed and not options.quick:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
