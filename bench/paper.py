"""Tables of ``docs/maintainers/performance.md`` that are written from figures: ``python -m bench --publish``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.report import tables

PAPER = Path(__file__).resolve().parent.parent / "docs/maintainers/performance.md"
#: A place in the paper, which says of which measures its tables are.
_PLACE = re.compile(r"(<!-- figures of ([a-z ]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def publish(result: dict[str, Any], paper: Path = PAPER) -> list[str]:
    """Write the tables of what was measured into the paper; return the measures whose tables stay as they were.

    Raises:
        ValueError: the figures are those of a smoke test.
    """
    if result["quick"]:
        msg = "these figures are of a smoke test"
        raise ValueError(msg)
    left: list[str] = []

    def fill(place: re.Match[str]) -> str:
        names = place[2].split()
        if unmeasured := [name for name in names if not result["measures"].get(name, {}).get("sheets")]:
            left.extend(unmeasured)
            return place[0]
        lines = [line for name in names for line in tables(result["measures"][name], heading="**{}**")]
        return "\n".join([place[1], *lines, place[3]])

    paper.write_text(_PLACE.sub(fill, paper.read_text()))
    return left
