"""Make every check that a participant allows, and return the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sagas.remote.conformance.checks import CHECKS, Check
from sagas.remote.conformance.subject import Pair, Subject, Violation


class CheckOutcome(StrEnum):
    """The outcome of a check."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: name of the check.
        pair: the operations: "forward" or "try".
        rule: number of the rule in the contract; 0 for the check before all rules.
        title: what a participant that keeps the rule does.
        outcome: whether the rule is kept.
        why: the expected and the actual answer; or why the check was not made.
    """

    check: str
    pair: str
    rule: int
    title: str
    outcome: CheckOutcome
    why: str = ""


def examine(subject: Subject) -> Iterator[CheckResult]:
    """Examine a running participant; yield each result as it comes.

    If the operations of a pair do not work at all, their other checks are not made.
    """
    for pair in subject.pairs:
        hopeless = ""
        for check in CHECKS:
            outcome, why = _judge(subject, pair, check, hopeless)
            if outcome is CheckOutcome.BROKEN and check.rule == 0:
                hopeless = "it does not even do what it is asked"
            yield CheckResult(check.name, str(pair.do), check.rule, check.title, outcome, why)


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
