"""What a caller writes with a confirmation commits with it, once, or not at all."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection

import sagas
from sagas import AlreadyDecided, State
from sagas.models import Confirmation, Log, Outbox, Run
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Telling, Twice
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")

INTO_JAR = "jar AS (INSERT INTO lab_jar (name, available, held, sold) SELECT %s::text, 1, 0, 0 FROM sagas_received)"


@pytest.fixture
def jar() -> str:
    return f"jar-{uuid4().hex[:8]}"


def begun(saga: type[sagas.Saga[Any]] = Lab, *, performed: bool = True) -> UUID:
    run_id = sagas.start(saga, Experiment(), business_key="k")
    if performed:
        Carrier().run([run_id])
        assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def rows(model: type[Log | Outbox | Confirmation], run_id: UUID) -> list[dict[str, str]]:
    own = {"id", "run_id", "trace_id", "at", "occurred_at", "received_at", "due_at", "duration_us"}
    # In a log row by name, or by the number that a committed transaction has given it.
    own |= {"worker", "compensate", "performer_id"}
    found = model._default_manager.filter(run_id=run_id).order_by("pk" if model is not Log else "at").values()
    kept = [{name: value for name, value in row.items() if name not in own} for row in found]
    # A reserve id has the run's.
    return [{name: str(value).replace(str(run_id), "run") for name, value in row.items()} for row in kept]


@pytest.mark.parametrize("performed", [True, False], ids=["awaits it", "has not begun"])
@pytest.mark.parametrize("saga", [Lab, Telling])
def test_the_callers_rows_come_with_the_first_confirmation(
    saga: type[sagas.Saga[Any]], jar: str, performed: bool
) -> None:
    # Given two runs at the same place
    plain, run_id = begun(saga, performed=performed), begun(saga, performed=performed)
    expected = sagas.confirm(plain, "approval", {"payment_id": "p"})
    # When the caller writes a row of its own with the confirmation of one
    receipt = sagas.confirm_sql(run_id, "approval", {"payment_id": "p"}, ctes=INTO_JAR, params=[jar])
    # Then it is there, and all else is the same
    assert Jar.objects.filter(name=jar).count() == 1
    assert (receipt.first, receipt.settled, receipt.state) == (True, performed, expected.state)
    assert Run.objects.get(pk=run_id).state == expected.state
    for model in (Log, Outbox, Confirmation):
        assert rows(model, run_id) == rows(model, plain)
    # And a repeat writes nothing
    repeated = sagas.confirm_sql(run_id, "approval", {"payment_id": "p"}, ctes=INTO_JAR, params=[f"{jar}-again"])
    assert not repeated.first
    assert repeated.received_at == receipt.received_at
    assert not Jar.objects.filter(name=f"{jar}-again").exists()
    Carrier().run([plain, run_id])
    assert state(run_id) is state(plain)


def test_an_error_of_the_callers_rows_takes_nothing(jar: str) -> None:
    run_id = begun()
    Jar.objects.create(name=jar, available=1)
    with pytest.raises(IntegrityError):
        sagas.confirm_sql(run_id, "approval", ctes=INTO_JAR, params=[jar])
    assert state(run_id) is State.AWAITING_CONFIRM
    assert not Confirmation.objects.filter(run_id=run_id).exists()
    assert sagas.confirm(run_id, "approval").first


def test_a_confirmation_that_is_not_taken_writes_nothing(jar: str) -> None:
    run_id = begun()
    sagas.cancel(run_id)
    with pytest.raises(AlreadyDecided):
        sagas.confirm_sql(run_id, "approval", ctes=INTO_JAR, params=[jar])
    assert not Jar.objects.filter(name=jar).exists()


def test_without_expressions_there_is_nothing_to_write_beside() -> None:
    run_id = begun()
    with pytest.raises(sagas.errors.InvalidArgument, match="call confirm"):
        sagas.confirm_sql(run_id, "approval", ctes=" ", params=[])
    assert state(run_id) is State.AWAITING_CONFIRM


def test_each_of_several_confirmations_has_its_rows(jar: str) -> None:
    run_id = sagas.start(Twice, Experiment())
    Carrier().run([run_id])
    names = sorted(Twice.definition.confirmation_names)
    for number, name in enumerate(names):
        receipt = sagas.confirm_sql(run_id, name, ctes=INTO_JAR, params=[f"{jar}-{number}"])
        assert receipt.settled == (number == len(names) - 1)
    assert Jar.objects.filter(name__startswith=jar).count() == len(names)


def test_a_confirmation_is_the_lock_and_one_statement(jar: str) -> None:
    run_id = begun()
    with connection.execute_wrapper(counting := Counting()):
        sagas.confirm_sql(run_id, "approval", ctes=INTO_JAR, params=[jar])
    assert counting.executed == 2


class Counting:
    """Counts statements, but not those that prepare others."""

    def __init__(self) -> None:
        self.executed = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.executed += not sql.startswith(("PREPARE", "DEALLOCATE"))
        return execute(sql, params, many, context)
