"""``make bench``: measure, show, write down."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import servers


def main() -> None:
    """Run all measurements, bare and ours in turn, so that a machine that drifts drifts for both."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a figure")
    parser.add_argument("--keep", action="store_true", help="leave the servers running")
    options = parser.parse_args()
    rounds, runs, chains, samples = (1, 1000, 200, 40) if options.quick else (3, 4000, 600, 150)
    console = Console()
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting servers")
        servers.start()
        try:
            # After the URLs are set: these import Django's settings.
            import django  # noqa: PLC0415

            django.setup()
            from bench import run  # noqa: PLC0415

            result = run.run(rounds, runs, chains, samples, lambda stage: progress.update(task, description=stage))
        finally:
            if not options.keep:
                servers.destroy()
    if not result:
        raise SystemExit("some target was not reached")


if __name__ == "__main__":
    main()
