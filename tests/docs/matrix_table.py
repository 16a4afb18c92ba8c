"""The fault matrix of ``PlaceOrder`` as a table, for docs/guarantees.md. ``make guarantees`` plays it, then writes it.

Each case says how its run must end (``Case.story``), and fails in ``test_unwinding`` if it does not: so what is written
here has been played.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orders.sagas import PlaceOrder
from sagas.states import State
from sagas.testing.matrix.cases import Case, Trouble, cases
from tests.docs.papers import ROOT

PAPER = ROOT / "docs/guarantees.md"
BEGIN, END = "<!-- the fault matrix: make guarantees -->", "<!-- end of the fault matrix -->"

_TOLD = {
    Trouble.REJECTS: "rejected",
    Trouble.RAISES_ONCE: "fails once",
    Trouble.RAISES: "fails for good",
    Trouble.ANSWER_LOST_ONCE: "done, answer lost once",
    Trouble.ANSWER_LOST: "done, answer lost for good",
    Trouble.DIES_BEFORE: "SIGKILL before the commit",
    Trouble.DIES_AFTER: "SIGKILL after the commit",
    Trouble.TWICE: "delivered twice",
    Trouble.LATE: "again when the run has ended",
    Trouble.OUT_OF_ORDER: "all others first",
}


def render() -> str:
    """What stands between the two marks."""
    found = cases(PlaceOrder)
    operations = list(dict.fromkeys((case.step, case.operation) for case in found))
    lines = [
        BEGIN,
        "",
        f"| step and operation | {' | '.join(_TOLD[trouble] for trouble in Trouble)} |",
        f"|---|{'---|' * len(Trouble)}",
    ]
    for step, operation in operations:
        own = [case for case in found if (case.step, case.operation) == (step, operation)]
        cells = [_cell([case for case in own if case.trouble is trouble]) for trouble in Trouble]
        lines.append(f"| `{step}` {operation} | {' | '.join(cells)} |")
    lines += ["", f"{len(found)} cases: {len(found) // 2} under each carrier, which end alike.", "", END]
    return "\n".join(lines)


def _cell(own: Sequence[Case]) -> str:
    stories = {_word(case) for case in own}
    return " / ".join(sorted(stories)) or "—"


def _word(case: Case) -> str:
    word = "confirmed" if case.ends is State.SUCCEEDED else "undone"
    return f"a person, then {word}" if case.calls_a_person else word


def written() -> str:
    """What the paper has there."""
    text = PAPER.read_text()
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def write(paper: Path = PAPER) -> None:
    """Write it."""
    text = paper.read_text()
    paper.write_text(text.replace(written(), render()))
