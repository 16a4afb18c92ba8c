"""What a scenario does to a run from outside: confirmations, refusals, a cancellation, reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sagas import api, store
from sagas.definition.definition import Definition
from sagas.definition.participants import Done
from sagas.engine import shared_decisions
from sagas.engine.subsagas import SubSaga, child_run_id
from sagas.errors import Rejected
from sagas.models import Confirmation, Run
from sagas.serialization import dump_json
from sagas.states import State
from sagas.testing.carrier import WORKER


class Outside:
    """What happens to one run from outside, each time as soon as the run is ready for it.

    Attributes:
        waits_for_deadlines: whether the scenario waits for deadlines to pass.
        confirmed: data of each confirmation that will come.
    """

    def __init__(self, definition: Definition) -> None:
        self.waits_for_deadlines = False
        self._definition = definition
        self.confirmed: dict[str, Mapping[str, Any]] = {}
        self._declined: dict[str, str] = {}
        self._reports: dict[str, list[Done | Rejected]] = {}
        self._children: list[str] = []
        self._cancels = False
        #: The calls of ``Scenario`` that declared something which has not happened yet.
        self._expected: list[str] = []

    def confirms(self, names: Sequence[str], data: Mapping[str, Any]) -> None:
        """Let these confirmations come; all of them if none is named."""
        for name in self._known(names) or self._names():
            self.confirmed[name] = data

    def confirms_the_rest(self) -> None:
        """Let all other confirmations come."""
        for name in self._names():
            self.confirmed.setdefault(name, {})

    def does_not_confirm(self, names: Sequence[str]) -> None:
        """Let these confirmations, or all if none is named, not come. The others come."""
        missing = self._known(names) or self._names(timed=True)
        if timeless := [name for name in names if name not in self._names(timed=True)]:
            msg = f"{timeless[0]} has no deadline: it comes by a decision for many runs, or is declined by one"
            raise ValueError(msg)
        if both := [name for name in missing if name in self.confirmed]:
            msg = f"{', '.join(both)} cannot come and be missing"
            raise ValueError(msg)
        for name in self._names():
            if name not in missing:
                self.confirmed.setdefault(name, {})
        self.waits_for_deadlines = True

    def declines(self, name: str, reason: str) -> None:
        """Let a confirmation be declined."""
        self._known([name])
        self._declined[name] = reason
        self._expected.append(f"when_declined({name!r})")

    def cancels(self) -> None:
        """Let the run be cancelled."""
        self._cancels = True
        self._expected.append("when_cancelled()")

    def reports(self, step: str, answer: object) -> None:
        """Let the outcome of an accepted step be reported. The last of several reports is repeated."""
        self._definition.index(step)
        if not isinstance(answer, Done | Rejected):
            msg = f"{step} is reported as Done(…) or Rejected(…), and not as {answer!r}"
            raise TypeError(msg)
        self._reports.setdefault(step, []).append(answer)
        self._expected.append(f"when_reported({step!r})")

    def confirms_child(self, step: str) -> None:
        """Let the confirmations of a child come, the run of a ``SubSaga``."""
        if not isinstance(self._definition.all_steps[self._definition.index(step)], SubSaga):
            msg = f"{self._definition.name}.{step} is no SubSaga, and has no child"
            raise TypeError(msg)
        self._children.append(step)
        self._expected.append(f"when_child_confirmed({step!r})")

    @property
    def not_happened(self) -> list[str]:
        """What the test declared and the run was never ready for."""
        return self._expected

    def act(self, run_id: UUID) -> bool:
        """Do one thing that the run is ready for. Return whether there was one."""
        run = Run.objects.get(pk=run_id)
        for step, wait in (run.pending or {}).items():
            if wait["operation"] and step in self._reports:
                answers = self._reports[step]
                self._happened(f"when_reported({step!r})")
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                api.report(run_id, step, answer, operation=wait["operation"], by=WORKER)
                return True
        if any(self._confirm_child(run_id, step) for step in self._children):
            return True
        if State(run.state) is not State.AWAITING_CONFIRM:
            return False
        if self.confirmed:
            name = next(iter(self.confirmed))
            confirm(run_id, self._definition, name, self.confirmed.pop(name))
            return True
        if self._declined:
            name, reason = self._declined.popitem()
            self._happened(f"when_declined({name!r})")
            if self._definition.confirmation(name).is_shared:
                _decide(run_id, self._definition, name, None, reason=reason)
            else:
                api.decline(run_id, name, reason=reason, by=WORKER)
            return True
        if self._cancels:
            self._cancels = False
            self._happened("when_cancelled()")
            api.cancel(run_id, by=WORKER)
            return True
        return False

    def _confirm_child(self, run_id: UUID, step: str) -> bool:
        child = Run.objects.filter(pk=child_run_id(run_id, step), state=State.AWAITING_CONFIRM).first()
        if child is None:
            return False
        self._happened(f"when_child_confirmed({step!r})")
        definition = store.definitions.find(child.saga, child.version, child.shape)
        came = Confirmation.objects.filter(run_id=child.pk).values_list("name", flat=True)
        missing = [one.name for one in definition.confirmations if one.name not in came]
        for name in missing:
            confirm(child.pk, definition, name, {})
        return bool(missing)

    def _happened(self, what: str) -> None:
        if what in self._expected:
            self._expected.remove(what)

    def _names(self, *, timed: bool = False) -> list[str]:
        return [one.name for one in self._definition.confirmations if not (timed and one.is_shared)]

    def _known(self, names: Sequence[str]) -> list[str]:
        for name in names:
            if name not in self._names():
                known = ", ".join(self._names()) or "none"
                msg = f"{self._definition.name} has no confirmation {name!r}; it has {known}"
                raise ValueError(msg)
        return list(names)


def confirm(run_id: UUID, definition: Definition, name: str, data: Mapping[str, Any]) -> None:
    """Let a confirmation of a run come, if need be by the decision for all runs of its key."""
    if definition.confirmation(name).is_shared:
        _decide(run_id, definition, name, dump_json(dict(data)))
    else:
        api.confirm(run_id, name, dict(data))


def _decide(run_id: UUID, definition: Definition, name: str, data: str | None, *, reason: str = "") -> None:
    key = Run.objects.values_list("decision_key", flat=True).get(pk=run_id)
    assert key is not None
    shared_decisions.decide(definition, name, key, data, reason=reason, message="", by=WORKER)
