"""What tests ask of the second database, and of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection, connections

from sagas import State
from sagas.models import Barrier, Log
from tests.loyalty.models import Purse, PurseHold, Stamp
from tests.support import tables
from tests.support.awaiting import eventually
from tests.support.runs import assert_adds_up, effects, marks, state, story

ALIAS = "loyalty"
_TABLES = ("sagas_barrier", "loyalty_stamp", "loyalty_purse", "loyalty_pursehold", "loyalty_ribbon")


def wipe() -> None:
    """Forget all that is there, and a connection that the last test may have broken."""
    connections[ALIAS].close()
    tables.empty(*_TABLES, using=ALIAS)


def execute(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run one statement there."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def cut() -> None:
    """Break all connections to it, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [_name()])


@contextmanager
def away() -> Iterator[None]:
    """Nobody gets at it: who is connected is cut off, and it takes no connections."""
    _allow(False)
    try:
        cut()
        yield
    finally:
        connections[ALIAS].close()
        _allow(True)


def await_waiting_there(count: int = 1) -> None:
    """Wait until so many transactions there wait for another."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    eventually(lambda: execute(sql)[0][0] >= count, what=f"{count} transactions waiting")


def _allow(yes: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{_name()}" ALLOW_CONNECTIONS {yes}')


def _name() -> str:
    return str(connections[ALIAS].settings_dict["NAME"])


def stamps(run_id: UUID) -> Counter[str]:
    """The effects that participants left there, counted: a double would show."""
    return Counter(str(stamp) for stamp in Stamp.objects.filter(run_id=run_id))


def rows(run_id: UUID) -> dict[str, str]:
    """Its barrier rows: what each says, by "step.operation"."""
    found = Barrier.objects.using(ALIAS).filter(run_id=run_id)
    return {f"{row.step}.{row.operation}": row.outcome for row in found}


def nulls(run_id: UUID) -> list[str]:
    """Its null compensations, as the log has them."""
    found = Log.objects.filter(run_id=run_id, outcome="DONE", data={"null": True}).order_by("id")
    return [f"{entry.step}.{entry.operation}" for entry in found]


def counts(purse: str) -> tuple[int, int, int]:
    """What is available, held and sold of a purse."""
    return Purse.objects.values_list("available", "held", "sold").get(pk=purse)


def assert_purse_adds_up(purse: str, total: int) -> None:
    """Nothing was lost or found, and the holds say the same as the counts."""
    settled = Purse.objects.values_list("settled", flat=True).get(pk=purse)
    assert_adds_up(counts(purse), PurseHold.objects.filter(pool_key=purse), total, settled)


_UNDO = (".compensate", ".cancel")


def assert_once_in_both(run_id: UUID, *, order: bool = True) -> None:
    """Every effect is there once, here or there, and all of them or none; no undo without its forward operation.

    ``order`` says that no branches of a fork were done in whatever order.
    """
    done, null = effects(run_id), nulls(run_id)
    assert len(done) == len(set(done)), done
    real = [effect for effect in done if effect not in null]
    pools = ("three.", "jar.")
    assert marks(run_id) + stamps(run_id) == Counter(e for e in real if not e.startswith(pools)), story(run_id)
    forward = [effect.split(".")[0] for effect in real if effect.endswith((".forward", ".try"))]
    undone = [effect.split(".")[0] for effect in real if effect.endswith(_UNDO)]
    if state(run_id) is State.FAILED:
        assert sorted(undone) == sorted(forward), story(run_id)
        assert not order or undone == forward[::-1], story(run_id)
    else:
        assert undone == null == []


def assert_all_once(ids: Iterable[UUID], *, order: bool = True) -> None:
    """The same for many."""
    for run_id in ids:
        assert_once_in_both(run_id, order=order)
