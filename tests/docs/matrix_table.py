"""The fault matrix of ``PlaceOrder`` as a table in the paper of the evidence. ``make guarantees`` plays and writes it.

Each case says how its run must end (``Case.expected``), and fails in ``test_unwinding`` if the run ends otherwise. So
the table contains only what has been played.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orders.sagas import PlaceOrder
from sagas.states import State
from sagas.testing.matrix.cases import Case, InjectedFault, cases
from tests.docs.papers import ROOT

PAPER = ROOT / "docs/maintainers/evidence.md"
BEGIN, END = "<!-- the fault matrix: make guarantees -->", "<!-- end of the fault matrix -->"

_TOLD = {
    InjectedFault.REJECTS: "rejected",
    InjectedFault.RAISES_ONCE: "fails once",
    InjectedFault.RAISES: "fails for good",
    InjectedFault.ANSWER_LOST_ONCE: "done, answer lost once",
    InjectedFault.ANSWER_LOST: "done, answer lost for good",
    InjectedFault.KILLED_BEFORE: "SIGKILL before the commit",
    InjectedFault.KILLED_AFTER: "SIGKILL after the commit",
    InjectedFault.LOST_BEFORE: "the same without a broker, before",
    InjectedFault.LOST_AFTER: "and after",
    InjectedFault.TWICE: "delivered twice",
    InjectedFault.LATE: "again when the run has ended",
    InjectedFault.OUT_OF_ORDER: "all others first",
}


def render() -> str:
    """What stands between the two marks."""
    found = cases(PlaceOrder)
    operations = list(dict.fromkeys((case.step, case.operation) for case in found))
    lines = [
        BEGIN,
        "",
        f"| step and operation | {' | '.join(_TOLD[fault] for fault in InjectedFault)} |",
        f"|---|{'---|' * len(InjectedFault)}",
    ]
    for step, operation in operations:
        own = [case for case in found if (case.step, case.operation) == (step, operation)]
        cells = [_cell([case for case in own if case.fault is fault]) for fault in InjectedFault]
        lines.append(f"| `{step}` {operation} | {' | '.join(cells)} |")
    lines += ["", f"{len(found)} cases: {len(found) // 2} under each carrier, which end alike.", "", END]
    return "\n".join(lines)


def _cell(own: Sequence[Case]) -> str:
    ends = {_end(case) for case in own}
    return " / ".join(sorted(ends)) or "—"


def _end(case: Case) -> str:
    word = "confirmed" if case.final_state is State.SUCCEEDED else "undone"
    return f"a person, then {word}" if case.escalates else word


def written() -> str:
    """What the paper has there."""
    text = PAPER.read_text()
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def write(paper: Path = PAPER) -> None:
    """Write it."""
    text = paper.read_text()
    paper.write_text(text.replace(written(), render()))
