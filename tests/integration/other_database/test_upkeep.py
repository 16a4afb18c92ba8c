"""Barrier rows that nobody needs any more; the tables that migrate makes; who performs a step there."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

import sagas
from sagas import State
from sagas.delivery.dispatching import FEW, dispatch
from sagas.delivery.short_path import ShortPath
from sagas.errors import NotErased
from sagas.messaging.publisher import Publisher
from sagas.models import Barrier, Run
from sagas.operations import pruning
from tests.lab.personal_data import Visit
from tests.lab.sagas import Experiment
from tests.loyalty.sagas import Afar, AfarForked, Membership
from tests.support import broker, loyalty
from tests.support.carrier import Carrier
from tests.support.loyalty import rows
from tests.support.runs import effects, state

pytestmark = pytest.mark.usefixtures("purse")


def ended(purse: str, saga: type[sagas.Saga[Experiment]] = AfarForked) -> UUID:
    run_id = sagas.start(saga, Experiment(jar=purse))
    Carrier().run([run_id])
    return run_id


def days_ago(days: float, *ids: UUID) -> None:
    """Let all of it have happened so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET finished_at = finished_at - %s * interval '1 day' WHERE id = ANY(%s::uuid[])",
            [days, list(ids)],
        )
    loyalty.execute(
        "UPDATE sagas_barrier SET at = at - %s * interval '1 day' WHERE run_id = ANY(%s::uuid[])", days, list(ids)
    )


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture(params=[1, 1000])
def _batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", request.param)


@pytest.mark.usefixtures("_batches")
def test_rows_of_runs_that_ended_long_ago_are_deleted_and_no_others(purse: str) -> None:
    # Given old runs that have ended, one way and the other, and one that has not; a young one; a stranger's
    succeeded = ended(purse)
    failed = ended(purse, Afar)
    sagas.cancel(failed)
    Carrier().run([failed])
    waiting = ended(purse, Afar)
    young = ended(purse)
    stranger = uuid4()
    Barrier.objects.using("loyalty").create(run_id=stranger, step="one", operation="forward", outcome="DONE", attempt=1)
    assert [state(run_id) for run_id in (succeeded, failed, waiting)] == [
        State.SUCCEEDED,
        State.FAILED,
        State.AWAITING_CONFIRM,
    ]
    days_ago(31, succeeded, failed, waiting, stranger)
    days_ago(29, young)
    doomed = len(rows(succeeded)) + len(rows(failed))

    # When
    said = command("barrier", "--older-than", "30").splitlines()

    # Then
    assert said[0] == f"loyalty: {doomed} barrier row(s) deleted"
    assert said[1].startswith("loyalty: 1 old run(s) are not in this engine's database")
    assert rows(succeeded) == rows(failed) == {}
    assert rows(waiting)
    assert rows(young)
    assert rows(stranger)
    # And what has not ended can still be undone
    sagas.cancel(waiting)
    Carrier().run([waiting])
    assert state(waiting) is State.FAILED
    # And again, there is nothing to do
    assert command("barrier", "--older-than", "30", "--database", "loyalty").startswith("loyalty: 0 ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--older-than", "0.5"], "a row must outlive"),
        (["--older-than", "nan"], "a row must outlive"),
        (["--older-than", "30", "--database", "default"], "no step is in the database 'default'; there are: loyalty"),
        ([], "--older-than"),
    ],
)
def test_invalid_arguments_of_the_barrier_command_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        command("barrier", *arguments)


def test_migrate_creates_only_the_barrier_table_in_another_database() -> None:
    def tables(alias: str) -> set[str]:
        return {name for name in connections[alias].introspection.table_names() if name.startswith("sagas_")}

    assert tables("loyalty") == {"sagas_barrier"}
    assert "sagas_barrier" not in tables("default")
    assert {"sagas_run", "sagas_log"} <= tables("default")


def test_the_dispatcher_does_not_wait_for_another_database_itself(purse: str) -> None:
    # Given so few runs that it would perform their first step itself
    ids = [sagas.start(AfarForked, Experiment(jar=purse)) for _ in range(FEW // 2)]

    # When
    dispatch(Publisher, ShortPath(queues={"orders"}))

    # Then a message goes out
    assert broker.length("orders") == 1
    assert [effects(run_id) for run_id in ids] == [[]] * len(ids)


def test_a_pool_locks_rows_in_its_own_database(purse: str) -> None:
    # Given
    run_id = sagas.start(Afar, Experiment(jar=purse))
    seen: dict[str, list[str]] = {"default": [], "loyalty": []}

    def note(
        execute: Callable[..., object], sql: str, params: object, many: object, context: dict[str, object]
    ) -> object:
        seen[context["connection"].alias].append(sql)  # type: ignore[attr-defined]  # Django's own
        return execute(sql, params, many, context)

    # When
    with connection.execute_wrapper(note), connections["loyalty"].execute_wrapper(note):
        Carrier().run([run_id])

    # Then
    assert [sql for sql in seen["loyalty"] if "loyalty_purse" in sql and "FOR NO KEY UPDATE" in sql]
    assert not [sql for sql in seen["default"] if "purse" in sql.lower().replace(purse, "")]
    assert Run.objects.get(pk=run_id).state == State.AWAITING_CONFIRM


# -- Erasing --------------------------------------------------------------------------------------------------

PHONE = "13812345678"


def recorded(run_id: UUID) -> str:
    """All that the barrier rows of a run say."""
    return str(loyalty.execute("SELECT array_agg(data::text) FROM sagas_barrier WHERE run_id = %s", run_id))


@pytest.mark.parametrize("refuse", ["", "welcomed"], ids=["succeeded", "refused"])
def test_personal_data_is_erased_in_both_databases(refuse: str) -> None:
    # Given a finished run whose barrier rows know somebody
    run_id = sagas.start(Membership, Visit(PHONE, refuse=refuse), business_key="D-1")
    carrier = Carrier()
    carrier.run([run_id])
    assert state(run_id) is (State.FAILED if refuse else State.SUCCEEDED)
    before = recorded(run_id)
    assert "Ms 5678" in before
    assert (PHONE in before) is bool(refuse)

    # When
    erasure = sagas.erase(business_key="D-1", by="ada")

    # Then what was not personal stays, and the rows do what they are for
    assert erasure.changed == (run_id,)
    after = recorded(run_id)
    assert "5678" not in after
    assert PHONE not in after
    assert "gold" in after
    happened = effects(run_id)
    for chain in list(carrier.delivered):
        carrier.deliver(chain)
    assert effects(run_id) == happened
    assert recorded(run_id) == after
    # And a second time does nothing
    assert sagas.erase(business_key="D-1", by="ada").changed == ()


def test_nothing_is_erased_while_the_other_database_is_unreachable() -> None:
    # Given
    run_id = sagas.start(Membership, Visit(PHONE), business_key="D-1")
    Carrier().run([run_id])
    story = Run.objects.get(pk=run_id)

    # When
    with loyalty.away(), pytest.raises(NotErased, match=rf"'loyalty' has copies of the data of run {run_id}"):
        sagas.erase(business_key="D-1", by="ada")

    # Then
    now = Run.objects.get(pk=run_id)
    assert (now.request, now.results) == (story.request, story.results)
    # And it is to be repeated
    assert sagas.erase(business_key="D-1", by="ada").changed == (run_id,)
    assert "5678" not in recorded(run_id)


def test_a_partial_erasure_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an erasure that dies between its two commits
    run_id = sagas.start(Membership, Visit(PHONE), business_key="D-1")
    Carrier().run([run_id])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("sagas.store.moves.log", _die)
        sagas.erase(business_key="D-1", by="ada")
    assert "5678" not in recorded(run_id)
    assert PHONE in str(Run.objects.get(pk=run_id).request)

    # When, then
    assert sagas.erase(business_key="D-1", by="ada").changed == (run_id,)
    assert PHONE not in str(Run.objects.get(pk=run_id).request)


def _die(*_: object) -> None:
    raise KeyboardInterrupt
