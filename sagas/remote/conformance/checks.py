"""The checks of a participant. Each check is one story with its own transactions.

A check returns, or raises a ``Violation`` with the expected and the actual answer. It undoes its effects, except those
that were confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from sagas.definition.participants import Done, Operation
from sagas.errors import Rejected
from sagas.remote.conformance.subject import Answer, Branch, Pair, Subject, Violation, told

#: Requests at the same moment.
CROWD = 8

Story = Callable[[Subject, Pair], None]
#: Returns why a check cannot be made; ``""`` if it can.
Need = Callable[[Subject, Pair], str]


@dataclass(frozen=True, slots=True)
class Check:
    """One story.

    Attributes:
        name: a word for it.
        rule: number of the rule in the contract; 0 for the check before all rules.
        title: what a participant that keeps the rule does.
        story: makes the calls.
        need: whether the check can be made.
    """

    name: str
    rule: int
    title: str
    story: Story
    need: Need


CHECKS: list[Check] = []


def _check(rule: int, need: Need = lambda *_: "") -> Callable[[Story], Story]:
    """Make a check from a story, whose docstring is the title."""

    def add(story: Story) -> Story:
        title = (story.__doc__ or "").strip().removesuffix(".")
        CHECKS.append(Check(getattr(story, "__name__", title), rule, title, story, need))
        return story

    return add


def _an_eye(subject: Subject, _: Pair) -> str:
    return "" if subject.observes else "nothing to observe effects by (--observe)"


def _queries(subject: Subject, _: Pair) -> str:
    return "" if subject.queries else "it cannot be queried (--query)"


def _a_refusal(subject: Subject, _: Pair) -> str:
    return "" if subject.refused is not None else "nothing that is refused is known (--refused)"


def _a_restart(subject: Subject, _: Pair) -> str:
    return "" if subject.restarts else "no command that kills it and starts it again (--restart)"


def _a_confirm(_: Subject, pair: Pair) -> str:
    return "" if pair.confirm else f"{pair.do} has no confirm"


@_check(0)
def asked_and_taken_back(subject: Subject, pair: Pair) -> None:
    """It does what it is asked, and takes it back."""
    branch = Branch()
    before = subject.observed()
    _done(subject, branch, pair.do)
    if subject.observes and subject.observed() == before:
        raise Violation(f"{pair.do} was done, and nothing is to be seen of it where effects are observed")
    _undone(subject, branch, pair, before)


@_check(2)
def repeated(subject: Subject, pair: Pair) -> None:
    """A repeat gets the first answer, and changes nothing."""
    branch = Branch()
    before = subject.observed()
    first = _done(subject, branch, pair.do)
    there = subject.observed()
    for _ in range(3):
        _same(first, subject.ask(branch, pair.do), f"{pair.do}, repeated")
    _unchanged(there, subject.observed(), f"{pair.do} was repeated")
    undo = _undone(subject, branch, pair, before)
    for _ in range(3):
        _same(undo, subject.ask(branch, pair.undo), f"{pair.undo}, repeated")
    _unchanged(before, subject.observed(), f"{pair.undo} was repeated")


@_check(2)
def repeated_at_once(subject: Subject, pair: Pair) -> None:
    """Repeats at the same moment are one."""
    before = subject.observed()
    alone = Branch()
    _done(subject, alone, pair.do)
    there = subject.observed()
    _undone(subject, alone, pair, before)
    branch = Branch()
    answers = _at_once([partial(subject.ask, branch, pair.do)] * CROWD)
    for answer in answers:
        if not isinstance(answer, Done):
            raise Violation(f"{pair.do}, {CROWD} times at once: {told(answer)}; what is still executed is 425")
        _same(answers[0], answer, f"{pair.do}, {CROWD} times at once")
    _unchanged(there, subject.observed(), f"{pair.do} came {CROWD} times at once, instead of once")
    undone = _at_once([partial(subject.ask, branch, pair.undo)] * CROWD)
    for answer in undone:
        _same(undone[0], answer, f"{pair.undo}, {CROWD} times at once")
    _unchanged(before, subject.observed(), f"{pair.undo} came {CROWD} times at once, instead of once")


@_check(2, _an_eye)
def branches_apart(subject: Subject, pair: Pair) -> None:
    """Branches of one transaction do not know each other."""
    one = Branch()
    other = one.beside()
    before = subject.observed()
    _done(subject, one, pair.do)
    with_one = subject.observed()
    _done(subject, other, pair.do)
    with_both = subject.observed()
    if with_both == with_one:
        raise Violation(f"{pair.do} of a second branch had no effect: the barrier must have X-Branch-ID in its key")
    _done(subject, one, pair.undo)
    if subject.observed() in (with_both, before):
        raise Violation(f"{pair.undo} of one of two branches undid both of them, or none")
    _undone(subject, other, pair, before)


@_check(2, _a_refusal)
def refused(subject: Subject, pair: Pair) -> None:
    """What is refused has no effect, is refused again, and can be undone."""
    branch = Branch()
    before = subject.observed()
    first = subject.ask(branch, pair.do, refused=True)
    if not isinstance(first, Rejected):
        raise Violation(f"{pair.do} of what should be refused: {told(first)}; wanted: 409")
    _same(first, subject.ask(branch, pair.do, refused=True), f"{pair.do} that was refused, repeated")
    _done(subject, branch, pair.undo, f"{pair.undo} of what was refused")
    _unchanged(before, subject.observed(), f"{pair.do} was refused and undone")


@_check(2, _a_confirm)
def confirmed(subject: Subject, pair: Pair) -> None:
    """A confirm is taken once, however often it comes."""
    assert pair.confirm
    branch = Branch()
    _done(subject, branch, pair.do)
    first = _done(subject, branch, pair.confirm)
    there = subject.observed()
    for answer in _at_once([partial(subject.ask, branch, pair.confirm)] * CROWD):
        _same(first, answer, f"{pair.confirm}, repeated")
    _unchanged(there, subject.observed(), f"{pair.confirm} was repeated")


@_check(4)
def null_compensation(subject: Subject, pair: Pair) -> None:
    """An undo of what never came undoes nothing, and is done: a null compensation."""
    branch = Branch()
    before = subject.observed()
    first = _done(subject, branch, pair.undo, f"{pair.undo} of what never came")
    _unchanged(before, subject.observed(), f"{pair.undo} came for what never came")
    _same(first, subject.ask(branch, pair.undo), f"{pair.undo} of what never came, repeated")


@_check(4)
def dangling(subject: Subject, pair: Pair) -> None:
    """What comes after its undo is rejected: a dangling request."""
    branch = Branch()
    before = subject.observed()
    _done(subject, branch, pair.undo, f"{pair.undo} of what never came")
    for _ in range(2):
        late = subject.ask(branch, pair.do)
        if isinstance(late, Done):
            raise Violation(f"{pair.do} came after its {pair.undo}: {told(late)}; wanted: 409")
    _unchanged(before, subject.observed(), f"{pair.do} came after its {pair.undo}")


@_check(4)
def repeated_after_undo(subject: Subject, pair: Pair) -> None:
    """What is repeated after its undo stays undone."""
    branch = Branch()
    before = subject.observed()
    _done(subject, branch, pair.do)
    _undone(subject, branch, pair, before)
    subject.ask(branch, pair.do)  # The recorded answer or 409: neither has an effect.
    _unchanged(before, subject.observed(), f"{pair.do} was repeated after its {pair.undo}")


@_check(4)
def at_the_same_moment(subject: Subject, pair: Pair) -> None:
    """An operation and its undo at the same moment leave nothing."""
    before = subject.observed()
    for turn in range(CROWD):
        branch = Branch()
        both = [partial(subject.ask, branch, operation) for operation in (pair.do, pair.undo)]
        # Whose thread is started first mostly comes first.
        do, undo = _at_once(both) if turn % 2 else reversed(_at_once(both[::-1]))
        if not isinstance(undo, Done):
            raise Violation(f"{pair.undo}, at the same moment as {pair.do}: {told(undo)}; wanted: 2xx")
        again = subject.ask(branch, pair.do)
        if isinstance(do, Rejected) and isinstance(again, Done):
            raise Violation(f"{pair.do}, at the same moment as {pair.undo}: {told(do)}; repeated: {told(again)}")
    _unchanged(before, subject.observed(), f"{pair.do} and {pair.undo} came at the same moment, {CROWD} times")


@_check(5, _queries)
def queried(subject: Subject, pair: Pair) -> None:
    """A query says what became of an operation."""
    branch, undone = Branch(), Branch()
    _never_came(subject, branch, pair.do)
    first = _done(subject, branch, pair.do)
    _same(first, subject.query(branch, pair.do), f"a query for {pair.do}")
    _never_came(subject, branch, pair.undo)
    undo = _done(subject, branch, pair.undo)
    _same(undo, subject.query(branch, pair.undo), f"a query for {pair.undo}")
    _done(subject, undone, pair.undo, f"{pair.undo} of what never came")
    if not isinstance(found := subject.query(undone, pair.do), Rejected):
        raise Violation(f"a query for {pair.do} that was undone before it came: {told(found)}; wanted: rejected")
    if subject.refused is not None:
        poor = Branch()
        no = subject.ask(poor, pair.do, refused=True)
        _same(no, subject.query(poor, pair.do), f"a query for {pair.do} that was refused")


@_check(1, _a_restart)
def survives(subject: Subject, pair: Pair) -> None:
    """What was answered survives a kill."""
    before = subject.observed()
    branch, undone = Branch(), Branch()
    _done(subject, undone, pair.undo, f"{pair.undo} of what never came")
    first = _done(subject, branch, pair.do)
    there = subject.observed()
    _same(first, subject.restart(branch, pair.do), f"{pair.do}, repeated after a kill")
    _unchanged(there, subject.observed(), "it was killed, and asked again")
    if isinstance(late := subject.ask(undone, pair.do), Done):
        raise Violation(f"{pair.do} came after its {pair.undo} and a kill: {told(late)}; wanted: 409")
    _undone(subject, branch, pair, before)


def _done(subject: Subject, branch: Branch, operation: Operation, what: str = "") -> Done:
    answer = subject.ask(branch, operation)
    if not isinstance(answer, Done):
        raise Violation(f"{what or operation}: {told(answer)}; wanted: 2xx")
    return answer


def _undone(subject: Subject, branch: Branch, pair: Pair, before: object) -> Done:
    answer = _done(subject, branch, pair.undo)
    _unchanged(before, subject.observed(), f"{pair.do} was undone")
    return answer


def _never_came(subject: Subject, branch: Branch, operation: Operation) -> None:
    if (found := subject.query(branch, operation)) is not None:
        raise Violation(f"a query for {operation} that never came: {told(found)}; wanted: 404")


def _same(first: Answer, second: Answer | None, what: str) -> None:
    if _plain(first) != _plain(second):
        raise Violation(f"{what}: {told(second)}; at first: {told(first)}")


def _plain(answer: Answer | None) -> object:
    return (answer.code, answer.detail) if isinstance(answer, Rejected) else answer


def _unchanged(before: object, after: object, when: str) -> None:
    if before != after:
        raise Violation(f"{when}: what is observed is {_short(after)}, and should be {_short(before)}")


def _short(observed: object) -> str:
    text = str(observed)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _at_once(asked: list[partial[Answer]]) -> list[Answer]:
    with ThreadPoolExecutor(len(asked)) as crowd:
        return [future.result() for future in [crowd.submit(ask) for ask in asked]]
