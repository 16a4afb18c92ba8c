"""The CPU time of one POST of an order beside a trivial view, in one process: ``bench.door``."""

from __future__ import annotations

from rich.console import Console

from bench import door
from bench.measures import Options, Say
from bench.results import Found, Sheet

_KEY = "post_cpu_vs_trivial_view"


def measure(_options: Options, say: Say) -> Found:
    """Measure both in turns."""
    say("both in turns")
    return summary(door.run(Console()))


def summary(found: dict[str, float]) -> Found:
    """The ratio, and milliseconds a request."""
    rows = [[name, f"{milliseconds:.2f}"] for name, milliseconds in found.items() if name != _KEY]
    return Found(
        ratios={_KEY: found[_KEY]},
        figures={"door": found},
        sheets=[Sheet("One request: milliseconds of CPU, Python and its PostgreSQL session", ("", "CPU"), rows)],
    )
