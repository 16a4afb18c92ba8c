"""Probes: when the engine calls a participant, a probe calls it several more times and rolls each call back.

So a probe has the data and the calls of a real run. The effects of a call are read from the project's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from sagas.definition.definition import Definition
from sagas.definition.participants import (
    Accepted,
    Call,
    Done,
    Outcome,
    Participant,
    Phase,
    is_set_based,
    participant_name,
)
from sagas.definition.steps import Action, Refund, Step
from sagas.engine.invocation import Answer
from sagas.engine.subsagas import SubSaga
from sagas.testing.matrix.diff import Left, by_chance, changed, disagreement, show
from sagas.testing.matrix.rollback import rehearsal
from sagas.testing.matrix.snapshot import Columns, Picture, picture
from sagas.testing.mistakes.ask import Asker
from sagas.testing.mistakes.catalogue import Mistake, Usual
from sagas.testing.mistakes.lines import Lines
from sagas.testing.mistakes.observe import CommittedByItself
from sagas.testing.scenario.faults import Broken


class Findings:
    """What the probes of a saga have found.

    Attributes:
        mistakes: each kind once for each operation.
        probed: the operations that were called, as (step, operation).
        raised: errors of the first calls, by operation.
        problems: errors of the probes themselves.
    """

    def __init__(self) -> None:
        self.mistakes: dict[tuple[str, str, Usual], Mistake] = {}
        self.probed: set[tuple[str, str]] = set()
        self.raised: dict[tuple[str, str], str] = {}
        self.problems: list[Exception] = []


@contextmanager
def probing(definition: Definition, databases: Sequence[str], ignored: Columns, findings: Findings) -> Iterator[None]:
    """Probe the participants of a saga whenever the engine calls them inside the block. Children are left out."""
    found = [
        (step, phase, action)
        for step in definition.all_steps
        if not isinstance(step, SubSaga)
        for phase, action in step.actions.items()
    ]
    lines = Lines([participant_name(action.participant) for _, _, action in found])
    with ExitStack() as undo:
        for step, phase, action in found:
            probe = _Probe(step, phase, action, databases, ignored, findings, lines)
            around = _ProbedSet if is_set_based(action.participant) else _ProbedOne
            step.actions[phase] = replace(action, participant=around(action.participant, probe))
            undo.callback(step.actions.__setitem__, phase, action)
        yield


class _Around:
    """Base of the wrappers. All attributes but the call are those of the real participant."""

    def __init__(self, participant: Any, probe: _Probe) -> None:
        self._participant = participant
        self._probe = probe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._participant, name)


class _ProbedOne(_Around):
    def __call__(self, call: Call[Any]) -> Any:
        return self._probe([call], lambda: self._participant(call))


class _ProbedSet(_Around):
    def many(self, calls: Sequence[Call[Any]]) -> Sequence[Outcome]:
        answers: Sequence[Outcome] = self._probe(calls, lambda: self._participant.many(calls))
        return answers


@dataclass(frozen=True, slots=True)
class _Probe:
    """Probes one operation."""

    _step: Step
    _phase: Phase
    _action: Action
    _databases: Sequence[str]
    _ignored: Columns
    _findings: Findings
    _lines: Lines

    def __call__(self, calls: Sequence[Call[Any]], really: Callable[[], Any]) -> Any:
        """Probe the participant with these calls, and then call it for real.

        Raises:
            Broken: the participant is not called for real, because it would end the transaction of the test.
        """
        self._findings.probed.add(self._name)
        try:
            try:
                self._probe_all(calls)
            except Exception as error:
                self._findings.problems.append(error)
                raise
            return self._asker.really(really)
        except CommittedByItself:
            msg = f"{self._step.name} ends the transaction, and is not called for good"
            raise Broken(msg) from None

    def _probe_all(self, calls: Sequence[Call[Any]]) -> None:
        first = self._played(calls)
        self._look_at_first(calls, first)
        if self._has(Usual.OUTSIDE) or self._has(Usual.COMMITS):
            return  # effects that cannot be rolled back must not be repeated
        if is_set_based(self._action.participant) and (len(calls) > 1 or callable(self._action.participant)):
            self._one_by_one(calls, first)
            if len(calls) > 1:
                # Answers in a wrong order may agree by chance, but not for both orders of the calls.
                self._one_by_one(calls[::-1], self._played(calls[::-1]))
        pairs = zip(calls, first.answers, strict=True)
        done = [call for call, answer in pairs if isinstance(answer, Done | Accepted)]
        if not done:
            return
        self._again(done)
        if self._phase is Phase.UNDO and not isinstance(self._step, Refund):
            # A refund may use the data of its confirmation, without which there is nothing to give back.
            self._without_its_result(done)
            if not self._has(Usual.BY_RETURNED_ID):
                self._of_nothing(done)

    def _look_at_first(self, calls: Sequence[Call[Any]], first: Left) -> None:
        broken = first.broken
        if not broken:
            return
        self._findings.raised.setdefault(self._name, broken)
        if self._phase is Phase.FORWARD:
            return  # a forward operation may reject or fail
        bare = isinstance(self._step, Refund) and not calls[0].results.get(self._step.name)
        why = " (no data came with its confirmation; a request may confirm, with data)" if bare else ""
        self._see(Usual.BREAKS, f"called for the first time it raises {broken}{why}")

    def _again(self, calls: Sequence[Call[Any]]) -> None:
        forward = self._phase is Phase.FORWARD
        usual = Usual.NOT_KEYED if forward else Usual.NOT_IDEMPOTENT
        with rehearsal(self._databases):
            self._ask(calls)
            once = picture(self._databases)
            # A repeated delivery is the same call with another attempt.
            answers = self._ask([replace(call, attempt=call.attempt + 1) for call in calls])
            twice = Left(answers, picture(self._databases))
        if twice.broken and not forward:
            self._see(usual, f"called a second time it raises {twice.broken}")
        self._compare(usual, "called a second time", once, twice.rows, self._ignored)

    def _without_its_result(self, calls: Sequence[Call[Any]]) -> None:
        own = self._step.name
        if all(own not in call.results for call in calls):
            return
        found = self._played([_without(call, own) for call in calls])
        if found.broken:
            self._see(Usual.BY_RETURNED_ID, f"without what {own} has returned it raises {found.broken}")
            return
        first = self._played(calls)
        chance = by_chance(first, self._played(calls), self._ignored)
        self._compare(Usual.BY_RETURNED_ID, f"without what {own} has returned", first.rows, found.rows, chance)

    def _of_nothing(self, calls: Sequence[Call[Any]]) -> None:
        """Call the undo for a run that has done nothing."""
        others = [replace(_without(call, self._step.name), run_id=uuid4()) for call in calls]
        with rehearsal(self._databases):
            before = picture(self._databases)
        found = self._played(others)
        when = "called for a run that has done nothing"
        if found.broken:
            self._see(Usual.NOT_IDEMPOTENT, f"{when} it raises {found.broken}")
            return
        if any(call.results for call in others):
            # The results of other steps belong to the first run, and may lead to its rows: try again without them.
            found = self._played([replace(call, results={}) for call in others])
        if not found.broken:
            self._compare(Usual.NOT_IDEMPOTENT, when, before, found.rows, self._ignored)

    def _one_by_one(self, calls: Sequence[Call[Any]], first: Left) -> None:
        again = self._played(calls)
        forms: list[tuple[str, Participant]] = []
        if len(calls) > 1:
            forms.append(("called for one after the other", self._action.participant))
        if callable(self._action.participant):
            forms.append(("called in its one-call form", _one_call(self._action.participant)))
        for how, form in forms:
            with rehearsal(self._databases):
                answers = [self._ask([call], form)[0] for call in calls]
                found = Left(answers, picture(self._databases))
            for call, all_at_once, repeated, alone in zip(
                calls, first.answers, again.answers, found.answers, strict=True
            ):
                if disagreement(all_at_once, repeated, alone):
                    seen = f"{how} it answers {show(alone)}, and {show(all_at_once)} for {len(calls)} at once"
                    self._see(Usual.MANY_DISAGREES, f"{seen} ({call.key})")
            chance = by_chance(first, again, self._ignored)
            self._compare(Usual.MANY_DISAGREES, how, first.rows, found.rows, chance)

    # -- Calls and reports -------------------------------------------------------------------------------------

    def _played(self, calls: Sequence[Call[Any]]) -> Left:
        with rehearsal(self._databases):
            return Left(self._ask(calls), picture(self._databases))

    def _ask(self, calls: Sequence[Call[Any]], form: Participant | None = None) -> Sequence[Answer]:
        return self._asker.ask(form or self._action.participant, calls)

    @property
    def _asker(self) -> Asker:
        return Asker(self._step, self._lines, self._see)

    @property
    def _name(self) -> tuple[str, str]:
        return self._step.name, self._action.operation.value

    def _compare(self, usual: Usual, when: str, wanted: Picture, found: Picture, ignored: Columns) -> None:
        if lines := changed(wanted, found, ignored):
            self._see(usual, f"{when} it leaves something else: {lines}")

    def _see(self, usual: Usual, seen: str) -> None:
        mistake = Mistake(*self._name, participant_name(self._action.participant), usual, seen)
        self._findings.mistakes.setdefault((*self._name, usual), mistake)

    def _has(self, usual: Usual) -> bool:
        return (*self._name, usual) in self._findings.mistakes


def _without(call: Call[Any], step: str) -> Call[Any]:
    return replace(call, results={name: result for name, result in call.results.items() if name != step})


def _one_call(participant: Any) -> Callable[[Call[Any]], Any]:
    def ask(call: Call[Any]) -> Any:
        return participant(call)

    return ask
