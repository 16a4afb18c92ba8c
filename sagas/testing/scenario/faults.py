"""Faults that are injected around real participants. The engine and the participant's code stay unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from sagas.definition.definition import Definition
from sagas.definition.participants import Call, Outcome, Participant, Phase, is_remote, is_set_based
from sagas.definition.steps import Action, Step
from sagas.engine import invocation
from sagas.errors import Rejected


class Broken(Exception):
    """Raised in a participant's place, unless the test gives another error."""


class Kind(StrEnum):
    """The kind of a fault."""

    #: The step is rejected. The participant is not called.
    REJECTS = "rejects"
    #: The operation fails before the participant is called.
    FAILS = "fails"
    #: The participant is called and takes effect, but its answer is lost.
    TIMES_OUT = "times out"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one operation.

    Attributes:
        step: name of the step.
        phase: phase of the operation.
        kind: kind of the fault.
        error: the error that is raised.
        attempts: number of attempts that fail, from the first one; ``None`` for all attempts.
        hit: the attempts that failed.
    """

    step: str
    phase: Phase
    kind: Kind
    error: Exception
    attempts: int | None = None
    hit: list[int] = field(default_factory=list, compare=False, repr=False)

    @property
    def met(self) -> bool:
        """Whether any attempt failed by it."""
        return bool(self.hit)

    @property
    def said(self) -> str:
        """The call of ``Scenario`` that declares it."""
        when = {Kind.REJECTS: "when_rejects", Kind.FAILS: "when_fails", Kind.TIMES_OUT: "when_times_out"}[self.kind]
        return f"{when}({self.step!r}, {self.phase})" if self.phase is not Phase.FORWARD else f"{when}({self.step!r})"

    def hits(self, call: Call[Any]) -> bool:
        """Whether this call fails by it. A call that fails is noted."""
        hits = self.attempts is None or call.attempt <= self.attempts
        if hits:
            self.hit.append(call.attempt)
        return hits


@contextmanager
def injected(definition: Definition, faults: Sequence[Fault]) -> Iterator[None]:
    """Inject faults into the participants of a saga, inside the block and in this process."""
    with ExitStack() as undo:
        for fault in faults:
            step = definition.all_steps[definition.index(fault.step)]
            before = step.actions[fault.phase]
            step.actions[fault.phase] = replace(before, participant=around(before.participant, fault))
            undo.callback(_put_back, step, fault.phase, before)
        yield


def _put_back(step: Step, phase: Phase, action: Action) -> None:
    step.actions[phase] = action


def around(participant: Participant, fault: Fault) -> Participant:
    """Wrap a participant, remote, set-based or plain, in one of the same kind that has the fault."""
    if is_remote(participant):
        return _FaultyRemote(participant, fault)
    if is_set_based(participant):
        return _FaultySet(participant, fault)
    return _FaultyOne(participant, fault)


class _Around:
    """Base of the wrappers. All attributes but the call are those of the real participant."""

    def __init__(self, participant: Any, fault: Fault) -> None:
        self._participant = participant
        self._fault = fault

    def _meet(self, call: Call[Any], ask: Callable[[], Any]) -> Any:
        """Call the real participant, or raise the fault's error instead or afterwards."""
        if not self._fault.hits(call):
            return ask()
        if self._fault.kind is Kind.TIMES_OUT:
            ask()
        raise self._fault.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._participant, name)

    def __str__(self) -> str:
        return str(self._participant)


class _FaultyOne(_Around):
    def __call__(self, call: Call[Any]) -> Any:
        return self._meet(call, lambda: self._participant(call))


class _FaultySet(_Around):
    def many(self, calls: Sequence[Call[Any]]) -> Sequence[Outcome]:
        hit = [call for call in calls if self._fault.hits(call)]
        if self._fault.kind is Kind.REJECTS and isinstance(self._fault.error, Rejected):
            others = [call for call in calls if call not in hit]
            answers: dict[Any, Outcome] = dict.fromkeys((call.run_id for call in hit), self._fault.error)
            if others:
                answers |= zip([call.run_id for call in others], self._participant.many(others), strict=True)
            return [answers[call.run_id] for call in calls]
        if not hit:
            outcomes: Sequence[Outcome] = self._participant.many(calls)
            return outcomes
        if self._fault.kind is Kind.TIMES_OUT:
            self._participant.many(calls)
        raise self._fault.error


class _FaultyRemote(_Around):
    def call(self, call: Call[Any], *, repeated: bool) -> Any:
        return self._meet(call, lambda: self._participant.call(call, repeated=repeated))


@contextmanager
def noted(raised: list[Exception]) -> Iterator[None]:
    """Collect the errors that participants raise inside the block. Unlike a run's log, they have tracebacks."""

    def noting(make: Callable[[Exception], Any]) -> Callable[[Exception], Any]:
        def note(error: Exception) -> Any:
            raised.append(error)
            return make(error)

        return note

    # Patched where the engine turns errors into faults, because the log has the names of the participants.
    with (
        patch.object(invocation, "Fault", noting(invocation.Fault)),
        patch.object(invocation, "Broken", noting(invocation.Broken)),
    ):
        yield
