"""Faults of participants, put around the real ones: the engine and the participant's own code run as they are."""

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
    """What is raised in a participant's place, unless something else is wanted."""


class Kind(StrEnum):
    """What goes wrong."""

    #: The participant says no; it is not asked.
    REJECTS = "rejects"
    #: It breaks before it has done anything.
    FAILS = "fails"
    #: It does what it is asked, and its answer is lost.
    TIMES_OUT = "times out"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        step: at which step.
        phase: in which of its operations.
        kind: what.
        error: what is raised.
        attempts: at how many attempts, from the first; ``None`` at all of them.
        hit: the attempts that met with it.
    """

    step: str
    phase: Phase
    kind: Kind
    error: Exception
    attempts: int | None = None
    hit: list[int] = field(default_factory=list, compare=False, repr=False)

    @property
    def met(self) -> bool:
        """Whether anybody met with it."""
        return bool(self.hit)

    @property
    def said(self) -> str:
        """As a test says it."""
        when = {Kind.REJECTS: "when_rejects", Kind.FAILS: "when_fails", Kind.TIMES_OUT: "when_times_out"}[self.kind]
        return f"{when}({self.step!r}, {self.phase})" if self.phase is not Phase.FORWARD else f"{when}({self.step!r})"

    def hits(self, call: Call[Any]) -> bool:
        """Whether this call meets with it."""
        hits = self.attempts is None or call.attempt <= self.attempts
        if hits:
            self.hit.append(call.attempt)
        return hits


@contextmanager
def injected(definition: Definition, faults: Sequence[Fault]) -> Iterator[None]:
    """Let participants of a saga break like this, inside this block and in this process."""
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
    """A participant that meets with a fault, of the same kind as the one it is put around."""
    if is_remote(participant):
        return _FaultyRemote(participant, fault)
    if is_set_based(participant):
        return _FaultySet(participant, fault)
    return _FaultyOne(participant, fault)


class _Around:
    """What the engine asks of a participant beside calling it, the real one answers."""

    def __init__(self, participant: Any, fault: Fault) -> None:
        self._participant = participant
        self._fault = fault

    def _meet(self, call: Call[Any], ask: Callable[[], Any]) -> Any:
        """Ask the real one, unless this call meets with the fault."""
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
    """Keep what participants raise inside this block: with its traceback, which a run's log has not."""

    def noting(make: Callable[[Exception], Any]) -> Callable[[Exception], Any]:
        def note(error: Exception) -> Any:
            raised.append(error)
            return make(error)

        return note

    # Where the engine makes a fault of an error. The participants stay who they are: the log has their names.
    with (
        patch.object(invocation, "Fault", noting(invocation.Fault)),
        patch.object(invocation, "Broken", noting(invocation.Broken)),
    ):
        yield
