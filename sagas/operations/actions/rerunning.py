"""Run a FAILED run again: as a new run with the same request, each linked to the other in its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.utils.translation import gettext

from sagas import store
from sagas.db import after_commit
from sagas.decisions.plan import Place
from sagas.definition import registry
from sagas.definition.definition import Definition
from sagas.engine import lifecycle
from sagas.operations.actions import effects
from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.situation import Situation
from sagas.serialization import dump_json
from sagas.states import State
from sagas.store.workers import kick

#: The events that link the two runs: in the log of the first, and in that of the second.
RERUN, RERUN_OF = "rerun", "rerun_of"


@dataclass(frozen=True, slots=True)
class Rerun(Action):
    """Start a new run with the request and the business key of one that is undone."""

    name: ClassVar[str] = "rerun"
    permission: ClassVar[str] = "sagas.add_run"

    def refusal(self, run: Situation) -> str:
        """It needs a FAILED run of a saga that is ``rerunnable``, with its data, and no other run in its place."""
        if run.row.state is not State.FAILED:
            return gettext("the run is %(state)s: only one that is undone is run again") % {
                "state": gettext(run.row.state)
            }
        if run.row.parent_id is not None:
            return gettext("the run is a step of %(run)s: run that one again") % {"run": run.row.parent_id}
        definition = _newest(run.row.saga)
        if definition is None:
            return gettext("this process does not know its saga")
        if not definition.rerunnable:
            return gettext("its saga does not say that a request may be taken anew (rerunnable)")
        return _in_the_way(run)

    def plan(self, run: Situation) -> Plan:
        """The forward operations of the new run."""
        definition = _newest(run.row.saga)
        assert definition is not None  # or it does not apply
        found, _ = effects.effects_from(definition, Place(State.EXECUTING, 0))
        listed = ", ".join(effect.words for effect in found)
        words = (
            gettext("Starts a new run with the same request: %(steps)s.") % {"steps": listed},
            gettext("This run stays %(state)s, and names the new one.") % {"state": gettext(State.FAILED)},
        )
        return Plan(words, tuple(found))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Start it in the same transaction, and link the two."""
        definition = _newest(run.row.saga)
        assert definition is not None  # or it does not apply
        key = run.standing.business_key
        request = definition.load(run.row.request)
        made = lifecycle.insert_run_of(definition, request, business_key=key, unique="reject" if key else None)
        store.moves.log(store.moves.event_entry(RERUN, by=by), [run.row], {run.id: dump_json({"run": str(made)})})
        rows = store.runs.read([made])
        store.moves.log(store.moves.event_entry(RERUN_OF, by=by), rows, {made: dump_json({"run": str(run.id)})})
        after_commit(kick)
        return run.row.state


def reruns_of(run_id: UUID) -> list[UUID]:
    """The runs as which a run was run again, the first one first."""
    return [UUID(data["run"]) for _, data in store.log.events_of(run_id, [RERUN]) if data]


def _newest(saga: str) -> Definition | None:
    return next((found for found in reversed(registry.all_definitions()) if found.name == saga), None)


def _in_the_way(run: Situation) -> str:
    """What forbids it: its data is erased, or a run took its place."""
    if store.log.events_of(run.id, ["erase"]):
        return gettext("its personal data was erased")
    last = reruns_of(run.id)[-1:]
    if last and store.runs.find_states(last).get(last[0]) not in {None, State.FAILED}:
        return gettext("it was run again as %(run)s") % {"run": last[0]}
    return ""
