"""Ask all that can be asked of a participant, and say what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sagas.remote.conformance.checks import CHECKS, Check
from sagas.remote.conformance.subject import Pair, Subject, Violation


class CheckOutcome(StrEnum):
    """What came of a check."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one check.

    Attributes:
        check: name of the check.
        pair: of which operations: "forward" or "try".
        rule: which of the contract's rules it is about; 0 for what comes before all rules.
        title: what a participant that keeps it does.
        outcome: what came of it.
        why: what was wanted and what came; or why it was not asked.
    """

    check: str
    pair: str
    rule: int
    title: str
    outcome: CheckOutcome
    why: str = ""


def examine(subject: Subject) -> Iterator[Verdict]:
    """Examine a running participant; give each verdict as it comes.

    One that does not even do what it is asked is asked nothing more of those operations.
    """
    for pair in subject.pairs:
        hopeless = ""
        for check in CHECKS:
            outcome, why = _judge(subject, pair, check, hopeless)
            if outcome is CheckOutcome.BROKEN and check.rule == 0:
                hopeless = "it does not even do what it is asked"
            yield Verdict(check.name, str(pair.do), check.rule, check.title, outcome, why)


def _judge(subject: Subject, pair: Pair, check: Check, hopeless: str) -> tuple[CheckOutcome, str]:
    if why := hopeless or check.need(subject, pair):
        return CheckOutcome.NOT_ASKED, why
    subject.forget()
    try:
        check.story(subject, pair)
    except Violation as violation:
        subject.take_back(pair.undo)
        return CheckOutcome.BROKEN, str(violation)
    return CheckOutcome.KEPT, ""
