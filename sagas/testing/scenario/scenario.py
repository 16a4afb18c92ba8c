"""Scenarios: given a saga and a request, when something goes wrong, then the run ends in a certain way.

A scenario takes milliseconds and needs no broker. Engine, database and participants are the real ones. Only Celery,
RabbitMQ and Redis are replaced. The test controls the clock, so waits between attempts and deadlines pass at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from django.db.models import Min
from django.test import TestCase

from sagas import api, store
from sagas.definition import registry
from sagas.definition.definition import Definition
from sagas.definition.participants import Done, Operation, Phase
from sagas.definition.saga import Saga
from sagas.errors import Rejected
from sagas.models import Log, Run
from sagas.states import CARRIERS, FINAL, ORCHESTRATION, State
from sagas.testing.carrier import Carrier
from sagas.testing.clock import Clock
from sagas.testing.scenario.faults import Broken, Fault, FaultKind, collected_errors, injected
from sagas.testing.scenario.outside import Outside
from sagas.testing.scenario.timeline import table
from sagas.testing.settings import in_process_settings

#: Number of rounds after which a scenario is taken for an endless loop.
LIMIT = 10_000
_UNDO = (Operation.COMPENSATE, Operation.CANCEL)
_FORWARD = (Operation.FORWARD, Operation.TRY)


def given(saga: type[Saga[Any]], request: object, *, business_key: str = "", carrier: str = ORCHESTRATION) -> Scenario:
    """Begin a scenario that starts a run.

    Args:
        saga: the saga.
        request: the request, as for ``Saga.start``.
        business_key: as for ``Saga.start``.
        carrier: how cohorts travel, "orchestration" or "choreography".
    """
    check_saga(saga)
    return Scenario(saga.definition, lambda: api.start(saga, request, business_key=business_key), carrier)


def given_run(run_id: UUID, *, carrier: str = ORCHESTRATION) -> Scenario:
    """Begin a scenario with a run that the test or the code under test has started."""
    run = Run.objects.get(pk=run_id)
    return Scenario(store.definitions.find(run.saga, run.version, run.shape), lambda: run_id, carrier)


class Scenario:
    """What is given, what goes wrong, and how the run must end. The first ``then_…`` plays the scenario.

    Attributes:
        run_id: the run, once the scenario is played.
    """

    run_id: UUID
    #: Whether there was a ``when_…`` and no ``then_…`` yet.
    _unplayed = False

    def __init__(self, definition: Definition, start: Callable[[], UUID], carrier: str) -> None:
        check_carriers([carrier])
        self._definition = definition
        self._start = start
        self._carrier = carrier
        self.faults: list[Fault] = []
        self.outside = Outside(definition)
        #: Errors of participants, as causes of assertion errors: the log has no tracebacks.
        self.raised: list[Exception] = []
        self._played = False

    def __del__(self) -> None:
        """Warn of a scenario without a ``then_…``: it was never played."""
        if self._unplayed:
            msg = f"a scenario of {self._definition.name} has no then_…, and was never played"
            warnings.warn(msg, UserWarning, stacklevel=2)

    # -- When -------------------------------------------------------------------------------------------------

    def when_rejects(self, step: str, *, code: str = "Rejected", detail: str = "") -> Self:
        """The step is rejected; its participant is not called."""
        return self._add_fault(step, FaultKind.REJECTS, Rejected(detail or f"{step} says no", code=code))

    def when_fails(
        self, step: str, *, operation: str = "", error: Exception | None = None, attempts: int | None = None
    ) -> Self:
        """An operation fails before it has any effect.

        Args:
            step: name of the step.
            operation: "confirm", "compensate" or "cancel"; the forward operation if not given.
            error: the error that is raised.
            attempts: number of attempts that fail, from the first one; all of them if not given.
        """
        return self._add_fault(step, FaultKind.FAILS, error or Broken(f"{step} is broken"), operation, attempts)

    def when_times_out(self, step: str, *, operation: str = "", attempts: int | None = None) -> Self:
        """An operation takes effect, but its answer is lost. The arguments are those of ``when_fails``."""
        return self._add_fault(step, FaultKind.TIMES_OUT, TimeoutError(f"{step} did not answer"), operation, attempts)

    def when_confirmed(self, *names: str, data: Mapping[str, Any] | None = None) -> Self:
        """These confirmations, or all if none is named, come once the run waits for them."""
        return self._declare(self.outside.confirms, names, data or {})

    def when_not_confirmed(self, *names: str) -> Self:
        """The deadlines of these confirmations, or of all if none is named, pass. The other confirmations come."""
        return self._declare(self.outside.does_not_confirm, names)

    def when_declined(self, name: str, *, reason: str = "") -> Self:
        """A confirmation is declined."""
        return self._declare(self.outside.declines, name, reason)

    def when_cancelled(self) -> Self:
        """The run is cancelled while it waits for its confirmations."""
        return self._declare(self.outside.cancels)

    def when_reported(self, step: str, answer: Done | Rejected | None = None) -> Self:
        """The outcome of an accepted step is reported, by default as done. The last of several reports is repeated."""
        return self._declare(self.outside.reports, step, Done() if answer is None else answer)

    def when_child_confirmed(self, step: str) -> Self:
        """The confirmations of this step's child come, the run of its ``SubSaga``."""
        return self._declare(self.outside.confirms_child, step)

    def _declare(self, what: Callable[..., object], *args: object) -> Self:
        if self._played:
            msg = "this scenario is over: say what happens before the first then_…"
            raise RuntimeError(msg)
        self._unplayed = False
        what(*args)
        self._unplayed = True  # not before: if ``what`` raises, no warning is needed
        return self

    def _add_fault(
        self, step: str, kind: FaultKind, error: Exception, operation: str = "", attempts: int | None = None
    ) -> Self:
        if attempts is not None and attempts < 1:
            msg = f"attempts={attempts}: at one at least, or leave it out for all"
            raise ValueError(msg)
        actions = self._definition.all_steps[self._definition.index(step)].actions
        known = {action.operation.value: phase for phase, action in actions.items()}
        if operation and operation not in known:
            msg = f"{self._definition.name}.{step} has no {operation}; it has {', '.join(known)}"
            raise ValueError(msg)
        phase = known[operation] if operation else Phase.FORWARD
        return self._declare(self.faults.append, Fault(step, phase, kind, error, attempts))

    # -- Then -------------------------------------------------------------------------------------------------

    def then_succeeded(self) -> Self:
        """Assert that the run is SUCCEEDED: every effect is confirmed."""
        return self._then_is(State.SUCCEEDED)

    def then_failed(self) -> Self:
        """Assert that the run is FAILED: every effect is undone."""
        return self._then_is(State.FAILED)

    def then_escalated(self, step: str = "") -> Self:
        """Assert that the run is ESCALATED, because of ``step`` if it is given."""
        self._check_steps([step] if step else [])
        self._then_is(State.ESCALATED)
        if step:
            last = Log.objects.filter(run_id=self.run_id, outcome="FAULT").order_by("-id").first()
            self._expect(last is not None and last.step == step, f"a person to be called for {step}")
        return self

    def then_waits(self) -> Self:
        """Assert that the run is AWAITING_CONFIRM: all steps are done, and a confirmation is missing."""
        return self._then_is(State.AWAITING_CONFIRM)

    def then_done(self, *steps: str) -> Self:
        """Assert that the forward operations of exactly these steps took effect, in this order, undone later or not."""
        self._check_steps(steps)
        self._play()
        done = self._effects(_FORWARD)
        self._expect(done == list(steps), f"{_listed(steps)} to be done, and not {_listed(done)}")
        return self

    def then_compensated(self, *steps: str) -> Self:
        """Assert that the run is FAILED and exactly these steps were undone, in this order."""
        self._check_steps(steps)
        self._then_is(State.FAILED)
        undone = self._effects(_UNDO)
        self._expect(undone == list(steps), f"{_listed(steps)} to be undone, and not {_listed(undone)}")
        return self

    def then_skipped(self, *steps: str) -> Self:
        """Assert that the run has left out exactly these steps by their ``when``, from its start."""
        self._play()
        run = Run.objects.get(pk=self.run_id)
        skipped = [name for _, name in store.definitions.find(run.saga, run.version, run.shape).skipped]
        self._expect(skipped == list(steps), f"{_listed(steps)} to be skipped, and not {_listed(skipped)}")
        return self

    def then_because(self, code: str) -> Self:
        """Assert the code of the run's reason: that of a rejection, the name of an exception's class, …"""
        self._play()
        reason = Run.objects.get(pk=self.run_id).reason
        found = reason and reason.get("code")
        self._expect(found == code, f"the run to be undone because of {code}, and not of {found}")
        return self

    def then(self, check: Callable[[], object]) -> Self:
        """Call ``check``, which makes its own assertions. If one fails, the run's log is shown."""
        self._play()
        try:
            check()
        except AssertionError as error:
            msg = f"{error}\n\n{table(self.run_id)}"
            raise AssertionError(msg) from error
        return self

    def _check_steps(self, steps: Sequence[str]) -> None:
        for step in steps:
            self._definition.index(step)

    def _then_is(self, state: State) -> Self:
        self._play()
        found = State(Run.objects.values_list("state", flat=True).get(pk=self.run_id))
        self._expect(found is state, f"the run to be {state}, and not {found}")
        return self

    def _expect(self, truth: bool, what: str) -> None:
        if not truth:
            msg = f"expected {what}\n\n{table(self.run_id)}"
            raise AssertionError(msg) from (self.raised[-1] if self.raised else None)

    def _effects(self, operations: Sequence[Operation]) -> list[str]:
        done = Log.objects.filter(run_id=self.run_id, outcome="DONE", operation__in=operations).order_by("id")
        return [entry.step for entry in done if entry.data != {"null": True}]

    # -- Play -------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        if self._played:
            return
        self._unplayed = False
        with in_process_settings(self._definition.name, self._carrier), Clock() as clock:
            with TestCase.captureOnCommitCallbacks(execute=True):
                self.run_id = self._start()
            self.play(clock, Carrier())
        never = [fault.declared_as for fault in self.faults if not fault.happened] + self.outside.not_happened
        self._expect(not never, f"{', '.join(never)} to happen: the run never came to it")

    def play(self, clock: Clock, carrier: Carrier) -> None:
        """Play the scenario with the caller's clock and carrier, until nothing more happens."""
        play_together([self], clock, carrier)


def play_together(scenarios: Sequence[Scenario], clock: Clock, carrier: Carrier) -> None:
    """Play several scenarios with one clock and one carrier, until nothing more happens.

    What comes from outside comes to all runs before the next claim, so that the runs travel in one cohort.
    """
    waits_for_deadlines = any(scenario.outside.waits_for_deadlines for scenario in scenarios)
    with ExitStack() as faults:
        for scenario in scenarios:
            scenario._played, scenario._unplayed = True, False
            # The participants belong to the code's definition, also for runs of an earlier shape.
            own = registry.find_registered(scenario._definition.name, scenario._definition.version)
            faults.enter_context(collected_errors(scenario.raised))
            faults.enter_context(injected(own, scenario.faults))
        for _ in range(LIMIT):
            # A test that is rolled back never commits: call here what follows a commit, such as hooks.
            with TestCase.captureOnCommitCallbacks(execute=True):
                busy = (
                    carrier.deliver_deadlines(clock.now)
                    or carrier.deliver(clock.now)
                    or carrier.dispatch(clock.now)
                    or sum(scenario.outside.act(scenario.run_id) for scenario in scenarios) > 0
                    or _let_time_pass(clock, carrier, waits_for_deadlines=waits_for_deadlines)
                )
            if not busy:
                return
    msg = f"still busy after {LIMIT} rounds\n\n{table(scenarios[0].run_id)}"
    raise AssertionError(msg)


def check_saga(saga: object) -> None:
    """Raise ``TypeError`` unless ``saga`` is a saga."""
    if not (isinstance(saga, type) and issubclass(saga, Saga)):
        msg = f"a saga is a class derived from Saga, and not {saga!r}"
        raise TypeError(msg)


def check_carriers(carriers: Sequence[str]) -> None:
    """Raise ``ValueError`` for an unknown carrier."""
    if strange := [carrier for carrier in carriers if carrier not in CARRIERS]:
        msg = f"a carrier is {' or '.join(CARRIERS)}, and not {strange[0]!r}"
        raise ValueError(msg)


def _let_time_pass(clock: Clock, carrier: Carrier, *, waits_for_deadlines: bool) -> bool:
    """Advance the clock to the next due time. Deadlines of waiting runs count only if a scenario waits for them."""
    # A run that is due but was not claimed needs other code or a person: it may stay so for ever.
    live = Run.objects.exclude(state__in=FINAL).filter(due_at__gt=clock.now).exclude(pk__in=carrier.excluded)
    if not waits_for_deadlines:
        live = live.exclude(state=State.AWAITING_CONFIRM)
    due = live.aggregate(due=Min("due_at"))["due"]
    if due is None:
        return False
    deadlines = [at for at, _ in carrier.deadlines] if waits_for_deadlines else []
    # One microsecond later: parallel branches store their times as floats, which may be a fraction later than due_at.
    clock.move_to(min([due, *deadlines]) + timedelta(microseconds=1))
    return True


def _listed(steps: Sequence[str]) -> str:
    return ", ".join(steps) or "nothing"
