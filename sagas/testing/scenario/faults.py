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


class FaultKind(StrEnum):
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
        failed_attempts: the attempts that failed.
    """

    step: str
    phase: Phase
    kind: FaultKind
    error: Exception
    attempts: int | None = None
    failed_attempts: list[int] = field(default_factory=list, compare=False, repr=False)

    @property
    def happened(self) -> bool:
        """Whether any attempt failed because of the fault."""
        return bool(self.failed_attempts)

    @property
    def declared_as(self) -> str:
        """The call of ``Scenario`` that declares it."""
        when = {
            FaultKind.REJECTS: "when_rejects",
            FaultKind.FAILS: "when_fails",
            FaultKind.TIMES_OUT: "when_times_out",
        }[self.kind]
        return f"{when}({self.step!r}, {self.phase})" if self.phase is not Phase.FORWARD else f"{when}({self.step!r})"

    def applies_to(self, call: Call[Any]) -> bool:
        """Whether this call fails because of the fault. The attempt of a call that fails is recorded."""
        fails = self.attempts is None or call.attempt <= self.attempts
        if fails:
            self.failed_attempts.append(call.attempt)
        return fails


@contextmanager
def injected(definition: Definition, faults: Sequence[Fault]) -> Iterator[None]:
    """Inject faults into the participants of a saga, inside the block and in this process."""
    with ExitStack() as undo:
        for fault in faults:
            step = definition.all_steps[definition.index(fault.step)]
            before = step.actions[fault.phase]
            step.actions[fault.phase] = replace(before, participant=with_fault(before.participant, fault))
            undo.callback(_restore, step, fault.phase, before)
        yield


def _restore(step: Step, phase: Phase, action: Action) -> None:
    step.actions[phase] = action


def with_fault(participant: Participant, fault: Fault) -> Participant:
    """Wrap a participant, remote, set-based or plain, in one of the same kind that has the fault."""
    if is_remote(participant):
        return _FaultyRemote(participant, fault)
    if is_set_based(participant):
        return _FaultySet(participant, fault)
    return _FaultyOne(participant, fault)


class _FaultyParticipant:
    """Base of the wrappers. All attributes but the call are those of the real participant."""

    def __init__(self, participant: Any, fault: Fault) -> None:
        self._participant = participant
        self._fault = fault

    def _call_with_fault(self, call: Call[Any], ask: Callable[[], Any]) -> Any:
        """Call the real participant, or raise the fault's error instead or afterwards."""
        if not self._fault.applies_to(call):
            return ask()
        if self._fault.kind is FaultKind.TIMES_OUT:
            ask()
        raise self._fault.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._participant, name)

    def __str__(self) -> str:
        return str(self._participant)


class _FaultyOne(_FaultyParticipant):
    def __call__(self, call: Call[Any]) -> Any:
        return self._call_with_fault(call, lambda: self._participant(call))


class _FaultySet(_FaultyParticipant):
    def many(self, calls: Sequence[Call[Any]]) -> Sequence[Outcome]:
        failing = [call for call in calls if self._fault.applies_to(call)]
        if self._fault.kind is FaultKind.REJECTS and isinstance(self._fault.error, Rejected):
            others = [call for call in calls if call not in failing]
            answers: dict[Any, Outcome] = dict.fromkeys((call.run_id for call in failing), self._fault.error)
            if others:
                answers |= zip([call.run_id for call in others], self._participant.many(others), strict=True)
            return [answers[call.run_id] for call in calls]
        if not failing:
            outcomes: Sequence[Outcome] = self._participant.many(calls)
            return outcomes
        if self._fault.kind is FaultKind.TIMES_OUT:
            self._participant.many(calls)
        raise self._fault.error


class _FaultyRemote(_FaultyParticipant):
    def call(self, call: Call[Any], *, repeated: bool) -> Any:
        return self._call_with_fault(call, lambda: self._participant.call(call, repeated=repeated))


@contextmanager
def collected_errors(raised: list[Exception]) -> Iterator[None]:
    """Collect the errors that participants raise inside the block. Unlike a run's log, they have tracebacks."""

    def noting(make: Callable[[Exception], Any]) -> Callable[[Exception], Any]:
        def note(error: Exception) -> Any:
            raised.append(error)
            return make(error)

        return note

    # Patched where the engine turns errors into faults, because the log has the names of the participants.
    with (
        patch.object(invocation, "Fault", noting(invocation.Fault)),
        patch.object(invocation, "SetBasedFailure", noting(invocation.SetBasedFailure)),
    ):
        yield
