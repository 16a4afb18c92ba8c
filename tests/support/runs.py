"""What tests ask of a run: its state, its log, its effects. All from the database, which is the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from sagas import Saga
from sagas.models import Escalation, Log, Run
from sagas.pool import Hold
from sagas.states import State
from tests.lab.models import Jar, JarHold, Mark
from tests.support.awaiting import eventually


def state(run_id: UUID) -> State:
    """Where it stands."""
    return State(Run.objects.values_list("state", flat=True).get(pk=run_id))


def states(ids: Iterable[UUID]) -> Counter[State]:
    """Where they stand."""
    return Counter(State(s) for s in Run.objects.filter(pk__in=list(ids)).values_list("state", flat=True))


def await_state(run_id: UUID, *wanted: State, within: float = 30.0) -> State:
    """Wait until it stands in one of these states, and return which."""
    return await_states([run_id], *wanted, within=within).popitem()[0]


def await_states(ids: Iterable[UUID], *wanted: State, within: float = 60.0) -> Counter[State]:
    """Wait until all stand in one of these states, and count them."""
    ids = list(ids)

    def found() -> Counter[State] | None:
        now = states(ids)
        return now if set(now) <= set(wanted) else None

    try:
        return eventually(found, within=within) or Counter()
    except AssertionError as error:
        stories = "\n".join(f"{i}: {state(i)} {story(i)}" for i in ids if state(i) not in wanted)
        msg = f"not within {within:g} s in {', '.join(wanted)}: {dict(states(ids))}\n{stories[:4000]}"
        raise AssertionError(msg) from error


def story(run_id: UUID) -> list[str]:
    """Its log, as "step.operation OUTCOME"; for events only their name."""
    return [
        entry.operation if entry.outcome == "EVENT" else f"{entry.step}.{entry.operation} {entry.outcome}"
        for entry in Log.objects.filter(run_id=run_id).order_by("id")
    ]


def effects(run_id: UUID) -> list[str]:
    """The operations that took effect, in order, as "step.operation"."""
    return [line.removesuffix(" DONE") for line in story(run_id) if line.endswith(" DONE")]


def marks(run_id: UUID) -> Counter[str]:
    """The effects that participants left, counted: a double would show."""
    return Counter(str(mark) for mark in Mark.objects.filter(run_id=run_id))


def event(run_id: UUID, name: str) -> Log:
    """The one event of this name in its log."""
    return Log.objects.get(run_id=run_id, operation=name, outcome="EVENT")


def expired_by(run_id: UUID) -> object:
    """What brought its deadline: "message" or "tick"."""
    data = event(run_id, "expire").data
    assert data is not None
    return data["by"]


def reason(run_id: UUID) -> dict[str, Any]:
    """Why it was undone."""
    found: dict[str, Any] | None = Run.objects.get(pk=run_id).reason
    assert found is not None
    return found


def escalation(run_id: UUID) -> Escalation:
    """Its open escalation."""
    return Escalation.objects.get(run_id=run_id, resolved_at=None)


def assert_effects_once(run_id: UUID) -> None:
    """Every effect that the log knows is there once, and no other; undone is what was done, in reverse order."""
    done = effects(run_id)
    assert len(done) == len(set(done)), done
    assert marks(run_id) == Counter(effect for effect in done if not effect.startswith("three.")), done
    forward = [effect.split(".")[0] for effect in done if effect.endswith((".forward", ".try"))]
    undone = [effect.split(".")[0] for effect in done if effect.endswith((".compensate", ".cancel"))]
    if state(run_id) is State.FAILED:
        assert undone == forward[::-1]
    else:
        assert undone == []


def counts(jar: str) -> tuple[int, int, int]:
    """What is available, held and sold of a jar."""
    return Jar.objects.values_list("available", "held", "sold").get(pk=jar)


def new_jar(pieces: int) -> str:
    """The name of a jar of its own."""
    name = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=name, available=pieces)
    return name


def assert_jar_adds_up(jar: str, total: int) -> None:
    """Nothing was lost or found, and the holds say the same as the counts."""
    settled = Jar.objects.values_list("settled", flat=True).get(pk=jar)
    assert_adds_up(counts(jar), JarHold.objects.filter(pool_key=jar), total, settled)


def assert_adds_up(counted: tuple[int, int, int], holds: Iterable[Hold], total: int, settled: int = 0) -> None:
    """The same of any pool, of which so many are available, held and sold; ``settled`` of these in pruned runs."""
    available, held, sold = counted
    quantities = Counter[str]()
    for hold in holds:
        quantities[hold.state] += hold.quantity
    assert available + held + sold == total
    assert (held, sold) == (quantities["HELD"], quantities["CONFIRMED"] + settled)


def never(monkeypatch: pytest.MonkeyPatch, saga: type[Saga[Any]], *kinds: type[Exception]) -> None:
    """Let none of a saga's operations be tried again after such an error."""
    for step in saga.definition.all_steps:
        for phase, action in step.actions.items():
            hopeless = replace(action, retry=replace(action.retry, never=kinds))
            monkeypatch.setitem(step.actions, phase, hopeless)


def make_due(ids: Iterable[UUID], *, since: float = 0.0) -> None:
    """Let the time pass that these runs wait for, and ``since`` seconds more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET due_at = clock_timestamp() - %s * interval '1 second' "
            "WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
            [since, list(ids)],
        )


def due_in(run_id: UUID, now: datetime | None = None) -> float:
    """Seconds until the dispatcher looks at the run again."""
    due = Run.objects.get(pk=run_id).due_at
    assert due is not None
    return (due - (now or timezone.now())).total_seconds()


def mend(run_id: UUID) -> None:
    """Let no attempt of its fail any more."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET request = jsonb_set(request, '{faults}', '{}') WHERE id = %s", [run_id])


def let_time_pass(run_id: UUID) -> None:
    """Let all that the run waits for be over: leases, reports, attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET due_at = clock_timestamp(), pending = (SELECT jsonb_object_agg(key, "
            "jsonb_set(value, '{until}', '0')) FROM jsonb_each(pending)) WHERE id = %s AND due_at IS NOT NULL",
            [run_id],
        )


def shift_clock(ids: Iterable[UUID], seconds: float) -> None:
    """Let the runs have begun so much earlier: their deadlines come nearer by as much."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET started_at = started_at - %s * interval '1 second', "
            "deadline = deadline - %s * interval '1 second', due_at = due_at - %s * interval '1 second' "
            "WHERE id = ANY(%s::uuid[])",
            [seconds, seconds, seconds, list(ids)],
        )


def shift_log(run_id: UUID, seconds: float) -> None:
    """Let what is in its log have happened so much earlier."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER sagas_log_guard")
        cursor.execute("UPDATE sagas_log SET at = at - %s * interval '1 second' WHERE run_id = %s", [seconds, run_id])
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER sagas_log_guard")
