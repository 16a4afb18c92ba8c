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
from sagas.testing.matrix.diff import CallEffects, answers_differ, describe_changes, format_answer, varying_columns
from sagas.testing.matrix.rollback import rolled_back
from sagas.testing.matrix.snapshot import Columns, Snapshot, take_snapshot
from sagas.testing.mistakes.caller import ParticipantCaller
from sagas.testing.mistakes.catalogue import Mistake, MistakeKind
from sagas.testing.mistakes.lines import ProjectLines
from sagas.testing.mistakes.observe import TransactionEnded
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
        self.mistakes: dict[tuple[str, str, MistakeKind], Mistake] = {}
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
    lines = ProjectLines([participant_name(action.participant) for _, _, action in found])
    with ExitStack() as undo:
        for step, phase, action in found:
            probe = _Probe(step, phase, action, databases, ignored, findings, lines)
            wrapper = _ProbedSet if is_set_based(action.participant) else _ProbedOne
            step.actions[phase] = replace(action, participant=wrapper(action.participant, probe))
            undo.callback(step.actions.__setitem__, phase, action)
        yield


class _ProbedParticipant:
    """Base of the wrappers. All attributes but the call are those of the real participant."""

    def __init__(self, participant: Any, probe: _Probe) -> None:
        self._participant = participant
        self._probe = probe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._participant, name)


class _ProbedOne(_ProbedParticipant):
    def __call__(self, call: Call[Any]) -> Any:
        return self._probe([call], lambda: self._participant(call))


class _ProbedSet(_ProbedParticipant):
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
    _lines: ProjectLines

    def __call__(self, calls: Sequence[Call[Any]], original: Callable[[], Any]) -> Any:
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
            return self._caller.call_observed(original)
        except TransactionEnded:
            msg = f"{self._step.name} ends the transaction, and is not called outside the probe"
            raise Broken(msg) from None

    def _probe_all(self, calls: Sequence[Call[Any]]) -> None:
        first = self._call_rolled_back(calls)
        self._check_first_call(calls, first)
        if self._has(MistakeKind.OUTSIDE_EFFECT) or self._has(MistakeKind.COMMITS):
            return  # effects that cannot be rolled back must not be repeated
        if is_set_based(self._action.participant) and (len(calls) > 1 or callable(self._action.participant)):
            self._check_single_calls(calls, first)
            if len(calls) > 1:
                # Answers in a wrong order may agree by chance, but not for both orders of the calls.
                self._check_single_calls(calls[::-1], self._call_rolled_back(calls[::-1]))
        pairs = zip(calls, first.answers, strict=True)
        done = [call for call, answer in pairs if isinstance(answer, Done | Accepted)]
        if not done:
            return
        self._check_repeated_call(done)
        if self._phase is Phase.UNDO and not isinstance(self._step, Refund):
            # A refund may use the data of its confirmation, without which there is nothing to give back.
            self._check_without_own_result(done)
            if not self._has(MistakeKind.BY_RETURNED_ID):
                self._check_undo_of_nothing(done)

    def _check_first_call(self, calls: Sequence[Call[Any]], first: CallEffects) -> None:
        failure = first.failure
        if not failure:
            return
        self._findings.raised.setdefault(self._name, failure)
        if self._phase is Phase.FORWARD:
            return  # a forward operation may reject or fail
        bare = isinstance(self._step, Refund) and not calls[0].results.get(self._step.name)
        why = " (no data came with its confirmation; a request may confirm, with data)" if bare else ""
        self._report(MistakeKind.BREAKS, f"called for the first time it raises {failure}{why}")

    def _check_repeated_call(self, calls: Sequence[Call[Any]]) -> None:
        forward = self._phase is Phase.FORWARD
        kind = MistakeKind.NOT_KEYED if forward else MistakeKind.NOT_IDEMPOTENT
        with rolled_back(self._databases):
            self._call(calls)
            once = take_snapshot(self._databases)
            # A repeated delivery is the same call with another attempt.
            answers = self._call([replace(call, attempt=call.attempt + 1) for call in calls])
            twice = CallEffects(answers, take_snapshot(self._databases))
        if twice.failure and not forward:
            self._report(kind, f"called a second time it raises {twice.failure}")
        self._compare(kind, "called a second time", once, twice.rows, self._ignored)

    def _check_without_own_result(self, calls: Sequence[Call[Any]]) -> None:
        own = self._step.name
        if all(own not in call.results for call in calls):
            return
        found = self._call_rolled_back([_without(call, own) for call in calls])
        if found.failure:
            self._report(MistakeKind.BY_RETURNED_ID, f"without what {own} has returned it raises {found.failure}")
            return
        first = self._call_rolled_back(calls)
        varying = varying_columns(first, self._call_rolled_back(calls), self._ignored)
        self._compare(MistakeKind.BY_RETURNED_ID, f"without what {own} has returned", first.rows, found.rows, varying)

    def _check_undo_of_nothing(self, calls: Sequence[Call[Any]]) -> None:
        """Call the undo for a run that has done nothing."""
        others = [replace(_without(call, self._step.name), run_id=uuid4()) for call in calls]
        with rolled_back(self._databases):
            before = take_snapshot(self._databases)
        found = self._call_rolled_back(others)
        situation = "called for a run that has done nothing"
        if found.failure:
            self._report(MistakeKind.NOT_IDEMPOTENT, f"{situation} it raises {found.failure}")
            return
        if any(call.results for call in others):
            # The results of other steps belong to the first run, and may lead to its rows: try again without them.
            found = self._call_rolled_back([replace(call, results={}) for call in others])
        if not found.failure:
            self._compare(MistakeKind.NOT_IDEMPOTENT, situation, before, found.rows, self._ignored)

    def _check_single_calls(self, calls: Sequence[Call[Any]], first: CallEffects) -> None:
        again = self._call_rolled_back(calls)
        forms: list[tuple[str, Participant]] = []
        if len(calls) > 1:
            forms.append(("called for one after the other", self._action.participant))
        if callable(self._action.participant):
            forms.append(("called in its one-call form", _one_call(self._action.participant)))
        for how, form in forms:
            with rolled_back(self._databases):
                answers = [self._call([call], form)[0] for call in calls]
                found = CallEffects(answers, take_snapshot(self._databases))
            for call, all_at_once, repeated, single in zip(
                calls, first.answers, again.answers, found.answers, strict=True
            ):
                if answers_differ(all_at_once, repeated, single):
                    one, many = format_answer(single), format_answer(all_at_once)
                    observed = f"{how} it answers {one}, and {many} for {len(calls)} at once ({call.key})"
                    self._report(MistakeKind.MANY_DISAGREES, observed)
            varying = varying_columns(first, again, self._ignored)
            self._compare(MistakeKind.MANY_DISAGREES, how, first.rows, found.rows, varying)

    # -- Calls and reports -------------------------------------------------------------------------------------

    def _call_rolled_back(self, calls: Sequence[Call[Any]]) -> CallEffects:
        with rolled_back(self._databases):
            return CallEffects(self._call(calls), take_snapshot(self._databases))

    def _call(self, calls: Sequence[Call[Any]], form: Participant | None = None) -> Sequence[Answer]:
        return self._caller.call(form or self._action.participant, calls)

    @property
    def _caller(self) -> ParticipantCaller:
        return ParticipantCaller(self._step, self._lines, self._report)

    @property
    def _name(self) -> tuple[str, str]:
        return self._step.name, self._action.operation.value

    def _compare(self, kind: MistakeKind, situation: str, wanted: Snapshot, found: Snapshot, ignored: Columns) -> None:
        if lines := describe_changes(wanted, found, ignored):
            self._report(kind, f"{situation} it leaves something else: {lines}")

    def _report(self, kind: MistakeKind, observed: str) -> None:
        mistake = Mistake(*self._name, participant_name(self._action.participant), kind, observed)
        self._findings.mistakes.setdefault((*self._name, kind), mistake)

    def _has(self, kind: MistakeKind) -> bool:
        return (*self._name, kind) in self._findings.mistakes


def _without(call: Call[Any], step: str) -> Call[Any]:
    return replace(call, results={name: result for name, result in call.results.items() if name != step})


def _one_call(participant: Any) -> Callable[[Call[Any]], Any]:
    def call_one(call: Call[Any]) -> Any:
        return participant(call)

    return call_one
