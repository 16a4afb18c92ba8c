"""Given a saga and a request, when this and that goes wrong, then it ends like so: in milliseconds, without a broker.

The engine is the real one, on the project's real database; participants are the project's own. Only Celery, RabbitMQ
and Redis are stood in for, and the clock is the test's: waits between attempts and deadlines pass at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from django.db.models import Min
from django.test import TestCase

from sagas import api, registry, versions
from sagas.definition import ORCHESTRATION, Definition
from sagas.errors import Rejected
from sagas.models import Confirmation, Log, Run
from sagas.nested import child_of
from sagas.participant import Done, Operation, Phase
from sagas.saga import Saga
from sagas.states import FINAL, State
from sagas.testing.alone import alone
from sagas.testing.carrier import WORKER, Carrier
from sagas.testing.clock import Clock
from sagas.testing.faults import Broken, Fault, Kind, injected
from sagas.testing.story import table

#: Turns after which a scenario is taken to go round in circles.
LIMIT = 10_000
_UNDO = (Operation.COMPENSATE, Operation.CANCEL)
_FORWARD = (Operation.FORWARD, Operation.TRY)


def given(saga: type[Saga[Any]], request: object, *, business_key: str = "", carrier: str = ORCHESTRATION) -> Scenario:
    """Begin a scenario with a run that is to be started.

    Args:
        saga: its saga.
        request: what is asked of it, as ``sagas.start`` takes it.
        business_key: as there.
        carrier: how its cohorts travel, "orchestration" or "choreography".
    """
    return Scenario(saga.definition, lambda: api.start(saga, request, business_key=business_key), carrier)


def given_run(run_id: UUID, *, carrier: str = ORCHESTRATION) -> Scenario:
    """Begin a scenario with a run that the test, or the code under test, has started."""
    run = Run.objects.get(pk=run_id)
    return Scenario(versions.find(run.saga, run.version, run.shape), lambda: run_id, carrier)


class Scenario:
    """What is given, what goes wrong, and how it must end. It is played once, before the first ``then_…``.

    Attributes:
        run_id: the run, once it was played.
    """

    run_id: UUID

    def __init__(self, definition: Definition, start: Callable[[], UUID], carrier: str) -> None:
        self._definition = definition
        self._start = start
        self._carrier = carrier
        self.faults: list[Fault] = []
        self._confirmed: dict[str, Mapping[str, Any]] = {}
        self._refused: dict[str, str] = {}
        self._reports: dict[str, list[Done | Rejected]] = {}
        self._children: list[str] = []
        self._late = False
        self._cancelled = False
        self._played = False

    # -- When -------------------------------------------------------------------------------------------------

    def when_rejects(self, step: str, *, code: str = "Rejected", detail: str = "") -> Self:
        """The step says no, and is not performed."""
        return self._break(step, Kind.REJECTS, Rejected(detail or f"{step} says no", code=code))

    def when_fails(
        self, step: str, *, operation: str = "", error: Exception | None = None, attempts: int | None = None
    ) -> Self:
        """An operation breaks before it has done anything.

        Args:
            step: of which step.
            operation: "confirm", "compensate" or "cancel"; the forward operation if not given.
            error: what is raised.
            attempts: how many attempts break, from the first; all of them if not given.
        """
        return self._break(step, Kind.FAILS, error or Broken(f"{step} is broken"), operation, attempts)

    def when_times_out(self, step: str, *, operation: str = "", attempts: int | None = None) -> Self:
        """An operation does what it is asked, and its answer is lost; arguments as of ``when_fails``."""
        return self._break(step, Kind.TIMES_OUT, TimeoutError(f"{step} did not answer"), operation, attempts)

    def when_confirmed(self, *names: str, data: Mapping[str, Any] | None = None) -> Self:
        """These confirmations come once the run waits for them; all of them if none is named."""
        for name in names or self._confirmations():
            self._check_confirmation(name)
            self._confirmed[name] = data or {}
        return self

    def when_not_confirmed(self, *names: str) -> Self:
        """Time passes until these confirmations are too late, or all if none is named; the others come."""
        for name in names:
            self._check_confirmation(name)
        for name in self._confirmations():
            if names and name not in names:
                self._confirmed.setdefault(name, {})
        self._late = True
        return self

    def when_refused(self, name: str, *, reason: str = "") -> Self:
        """A confirmation will not come, and somebody says so."""
        self._check_confirmation(name)
        self._refused[name] = reason
        return self

    def when_cancelled(self) -> Self:
        """Somebody cancels the run while it waits for its confirmations."""
        self._cancelled = True
        return self

    def when_reported(self, step: str, answer: Done | Rejected | None = None) -> Self:
        """A step that was accepted is reported, as done if nothing else is said; of several reports the last stays."""
        self._definition.index(step)
        self._reports.setdefault(step, []).append(answer or Done())
        return self

    def when_child_confirmed(self, step: str) -> Self:
        """The confirmations come that the saga of this step waits for."""
        self._definition.index(step)
        self._children.append(step)
        return self

    def _break(self, step: str, kind: Kind, error: Exception, operation: str = "", attempts: int | None = None) -> Self:
        actions = self._definition.all_steps[self._definition.index(step)].actions
        known = {action.operation.value: phase for phase, action in actions.items()}
        if operation and operation not in known:
            msg = f"{self._definition.name}.{step} has no {operation}; it has {', '.join(known)}"
            raise ValueError(msg)
        phase = known[operation] if operation else Phase.FORWARD
        self.faults.append(Fault(step, phase, kind, error, attempts))
        return self

    def _confirmations(self) -> list[str]:
        return [confirmation.name for confirmation in self._definition.confirmations]

    def _check_confirmation(self, name: str) -> None:
        if name not in self._confirmations():
            known = ", ".join(self._confirmations()) or "none"
            msg = f"{self._definition.name} has no confirmation {name!r}; it has {known}"
            raise ValueError(msg)

    # -- Then -------------------------------------------------------------------------------------------------

    def then_succeeded(self) -> Self:
        """Every effect is there, and confirmed."""
        return self._then_is(State.SUCCEEDED)

    def then_failed(self) -> Self:
        """Every effect is undone."""
        return self._then_is(State.FAILED)

    def then_escalated(self, step: str = "") -> Self:
        """A person is called, for this step if one is named."""
        self._then_is(State.ESCALATED)
        if step:
            last = Log.objects.filter(run_id=self.run_id, outcome="FAULT").order_by("-id").first()
            self._expect(last is not None and last.step == step, f"a person to be called for {step}")
        return self

    def then_waits(self) -> Self:
        """All steps are done, and the confirmations have not come."""
        return self._then_is(State.AWAITING_CONFIRM)

    def then_done(self, *steps: str) -> Self:
        """The forward operations of exactly these steps took effect, in this order; undone since or not."""
        self._play()
        done = self._effects(_FORWARD)
        self._expect(done == list(steps), f"{_list(steps)} to be done, and not {_list(done)}")
        return self

    def then_compensated(self, *steps: str) -> Self:
        """The run has failed, and exactly these steps were undone, in this order."""
        self._then_is(State.FAILED)
        undone = self._effects(_UNDO)
        self._expect(undone == list(steps), f"{_list(steps)} to be undone, and not {_list(undone)}")
        return self

    def then_because(self, code: str) -> Self:
        """The run was turned back for this reason: the code of a rejection, the name of an exception's class …"""
        self._play()
        reason = Run.objects.get(pk=self.run_id).reason
        found = reason and reason.get("code")
        self._expect(found == code, f"it to be turned back because of {code}, and not of {found}")
        return self

    def then(self, check: Callable[[], object]) -> Self:
        """Your own assertions; the run's log is shown if they fail."""
        self._play()
        try:
            check()
        except AssertionError as error:
            msg = f"{error}\n\n{table(self.run_id)}"
            raise AssertionError(msg) from error
        return self

    def _then_is(self, state: State) -> Self:
        self._play()
        found = State(Run.objects.values_list("state", flat=True).get(pk=self.run_id))
        self._expect(found is state, f"the run to be {state}, and not {found}")
        return self

    def _expect(self, truth: bool, what: str) -> None:
        if not truth:
            msg = f"expected {what}\n\n{table(self.run_id)}"
            raise AssertionError(msg)

    def _effects(self, operations: Sequence[Operation]) -> list[str]:
        done = Log.objects.filter(run_id=self.run_id, outcome="DONE", operation__in=operations).order_by("id")
        return [entry.step for entry in done if entry.data != {"null": True}]

    # -- Play -------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        if self._played:
            return
        with alone(self._definition.name, self._carrier), Clock() as clock:
            with TestCase.captureOnCommitCallbacks(execute=True):
                self.run_id = self._start()
            self.play(clock, Carrier())

    def play(self, clock: Clock, carrier: Carrier) -> None:
        """Let everything happen that happens to the run, on a clock and by a carrier that the caller has."""
        play_together([self], clock, carrier)

    def _act(self) -> bool:
        """Do one thing that comes from outside, if its time has come. Return whether there was one."""
        run = Run.objects.get(pk=self.run_id)
        for step, wait in (run.pending or {}).items():
            if wait["operation"] and step in self._reports:
                answers = self._reports[step]
                api.report(
                    self.run_id,
                    step,
                    answers.pop(0) if len(answers) > 1 else answers[0],
                    operation=wait["operation"],
                    by=WORKER,
                )
                return True
        if any(self._confirm_child(step) for step in self._children):
            return True
        if State(run.state) is not State.AWAITING_CONFIRM:
            return False
        if self._confirmed:
            name = next(iter(self._confirmed))
            api.confirm(self.run_id, name, dict(self._confirmed.pop(name)))
            return True
        if self._refused:
            name, reason = self._refused.popitem()
            api.refuse(self.run_id, name, reason=reason, by=WORKER)
            return True
        if self._cancelled:
            self._cancelled = False
            api.cancel(self.run_id, by=WORKER)
            return True
        return False

    def _confirm_child(self, step: str) -> bool:
        child = Run.objects.filter(pk=child_of(self.run_id, step), state=State.AWAITING_CONFIRM).first()
        if child is None:
            return False
        definition = versions.find(child.saga, child.version, child.shape)
        came = Confirmation.objects.filter(run_id=child.pk).values_list("name", flat=True)
        missing = [one.name for one in definition.confirmations if one.name not in came]
        for name in missing:
            api.confirm(child.pk, name)
        return bool(missing)


def play_together(scenarios: Sequence[Scenario], clock: Clock, carrier: Carrier) -> None:
    """Let everything happen that happens to these runs, on one clock and by one carrier.

    What comes from outside comes to all of them before anything is claimed: so they travel in one cohort.
    """
    late = any(scenario._late for scenario in scenarios)
    with ExitStack() as faults:
        for scenario in scenarios:
            scenario._played = True
            # The code's own definition has the participants, whatever shape the run has.
            own = registry.find(scenario._definition.name, scenario._definition.version)
            faults.enter_context(injected(own, scenario.faults))
        for _ in range(LIMIT):
            # Hooks and cancels of children come after a commit, which a test that is rolled back does not have.
            with TestCase.captureOnCommitCallbacks(execute=True):
                busy = (
                    carrier.judge(clock.now)
                    or carrier.deliver(clock.now)
                    or carrier.dispatch(clock.now)
                    or sum(scenario._act() for scenario in scenarios) > 0
                    or _let_time_pass(clock, carrier, late=late)
                )
            if not busy:
                return
    msg = f"still busy after {LIMIT} turns\n\n{table(scenarios[0].run_id)}"
    raise AssertionError(msg)


def _let_time_pass(clock: Clock, carrier: Carrier, *, late: bool) -> bool:
    """Go to when something is due next. Deadlines of who waits are waited for only where they are to pass."""
    live = Run.objects.exclude(state__in=FINAL).filter(due_at__isnull=False)
    if not late:
        live = live.exclude(state=State.AWAITING_CONFIRM)
    due = live.aggregate(due=Min("due_at"))["due"]
    if due is None:
        return False
    deadlines = [at for at, _ in carrier.deadlines] if late else []
    # A moment later: branches keep their times as floats, which may lie a fraction of a microsecond behind the column.
    clock.go_to(min([due, *deadlines]) + timedelta(microseconds=1))
    return True


def _list(steps: Sequence[str]) -> str:
    return ", ".join(steps) or "nothing"
