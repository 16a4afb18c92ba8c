"""The matrix of a saga finds what is broken: in its participants, and in the engine. And nothing where nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.db import connection, models
from django.test.utils import isolate_apps

from sagas import Call, Confirmation, Parallel, Retry, Saga, Step, runtime
from sagas.errors import UnknownStep
from sagas.testing import Ended, assert_saga_unwinds, given, saga_matrix
from sagas.testing.matrix import snapshot
from sagas.testing.matrix.cases import InjectedFault, cases
from sagas.testing.matrix.matrix import outcomes
from sagas.testing.matrix.player import play
from sagas.testing.matrix.rollback import rolled_back
from sagas.testing.matrix.subject import Subject
from tests.lab.models import Jar, JarHold, Mark
from tests.lab.sagas import Choosy, Experiment, Lab
from tests.simulator import mutants
from tests.support import mistaken
from tests.support.mistaken import QUICK, give_back, hold
from tests.support.unwinding import an_experiment, marks_and_jars_agree

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]
DAILY = Retry(attempts=2, delay=timedelta(days=1), max_delay=timedelta(days=2), jitter=0)


def problems(saga: type[Saga[Any]], request: object = an_experiment, **more: Any) -> dict[InjectedFault, str]:
    """The problems under orchestration, by injected fault."""
    found = outcomes(Subject(saga, request, **more), carriers=["orchestration"])
    return {outcome.case.fault: outcome.problem for outcome in found if outcome.problem}


# -- What a failed run leaves ---------------------------------------------------------------------------------


def forget(call: Call[Experiment]) -> None:
    """Undo nothing."""


def test_an_undo_that_does_nothing_is_found_without_an_invariant() -> None:
    with mistaken.saga(hold, forget) as saga:
        found = problems(saga)
    assert set(found) == {InjectedFault.TWICE}
    assert "the failed run has left something: lab_jarhold: unexpected row {" in found[InjectedFault.TWICE]
    assert 'to allow a record that stays, pass leaves=["table"]' in found[InjectedFault.TWICE]


def test_rows_named_in_leaves_may_stay() -> None:
    def take_back(call: Call[Experiment]) -> None:
        JarHold.objects.filter(run_id=call.run_id).update(quantity=0)

    with mistaken.saga(hold, take_back) as saga:
        assert set(problems(saga)) == {InjectedFault.TWICE}
        assert problems(saga, leaves=["lab_jarhold"]) == {}


def test_a_change_that_is_never_undone_is_found() -> None:
    def take(call: Call[Experiment]) -> None:
        hold(call)
        Jar.objects.filter(name=call.request.jar).update(available=9)

    with mistaken.saga(take, give_back) as saga:
        found = problems(saga, leaves=["lab_jar"])
        assert "has left something: lab_jar: missing row {" in found[InjectedFault.TWICE]
        assert problems(saga, leaves=["lab_jar.available"]) == {}


def test_a_cancelled_hold_may_stay() -> None:
    with mistaken.saga(hold, give_back) as saga:
        assert problems(saga) == {}


def test_a_cancelled_hold_of_an_earlier_run_is_no_loss() -> None:
    JarHold.objects.create(run_id=uuid4(), step="hold", pool_key="another", quantity=1, state="CANCELLED")
    with mistaken.saga(hold, give_back) as saga:
        assert problems(saga) == {}


def test_the_undo_of_the_last_branch_of_a_fork_is_played_too() -> None:
    """Nothing comes behind it that could say no: another branch does, when it is done."""

    class Branched(Saga[Experiment]):
        """Two branches, of which one undoes nothing."""

        name = "matrix.Branched"
        both = Parallel(
            a=Step(hold, compensate=give_back, queue="orders", retry=QUICK, finish_retry=QUICK),
            b=Step(hold, compensate=forget, queue="orders", retry=QUICK, finish_retry=QUICK),
        )

    with known(Branched):
        assert "lab_jarhold: unexpected row {" in problems(Branched)[InjectedFault.TWICE]


# -- The engine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake",
    [
        "a delivery is not compared with the cursor",
        "only the first step is undone",
        "the last step that was done is not undone",
    ],
)
def test_the_matrix_finds_a_mistake_in_the_engine(mistake: str) -> None:
    def finds() -> bool:
        for case in cases(Lab, carriers=["orchestration"]):
            if case.commits:
                continue
            try:
                with rolled_back(["default"]):
                    play(Subject(Lab, an_experiment, marks_and_jars_agree, leaves=["lab_mark"]), case)
            except Exception:
                return True
        return False

    with mutants.named(mistake).apply():
        assert finds()


# -- What is no fault -----------------------------------------------------------------------------------------


def test_each_matrix_finds_the_varying_columns_of_its_own_runs() -> None:
    """The first writes no row of a table whose rows have a number; the second does."""

    def hold_if_asked(call: Call[Experiment]) -> None:
        if call.request.jar:
            hold(call)

    with mistaken.saga(hold_if_asked, give_back) as saga:
        assert problems(saga, Experiment) == {}
        assert problems(saga, an_experiment) == {}


def test_a_stored_date_may_differ_after_a_day_between_attempts() -> None:
    def write_the_date(call: Call[Experiment]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()::date::text")
            (today,) = cursor.fetchone()
        Mark.objects.get_or_create(run_id=call.run_id, step=call.step, defaults={"operation": today})

    def undate(call: Call[Experiment]) -> None:
        Mark.objects.filter(run_id=call.run_id, step=call.step).delete()

    class Dated(Saga[Experiment]):
        """One step, tried again on the next day."""

        name = "matrix.Dated"
        approval = Confirmation(within=timedelta(days=30))
        date = Step(write_the_date, compensate=undate, queue="orders", retry=DAILY, finish_retry=DAILY)

    with known(Dated):
        assert problems(Dated) == {}


def test_a_refund_gets_the_data_of_its_confirmation() -> None:
    def refund(call: Call[Experiment]) -> None:
        charge = call.results["payment"]["charge"]
        Mark.objects.filter(run_id=call.run_id, step=charge).delete()

    def charge(call: Call[Experiment]) -> None:
        Mark.objects.get_or_create(run_id=call.run_id, step="ch-1", operation="charge")

    class Paid(Saga[Experiment]):
        """A payment that is given back, and a step behind what it pays."""

        name = "matrix.Paid"
        payment = Confirmation(within=timedelta(seconds=30), compensate=refund, queue="orders")
        one = Step(charge, queue="orders", retry=QUICK, finish_retry=QUICK)
        hold = Step(hold, compensate=give_back, queue="orders", retry=QUICK, finish_retry=QUICK)

    with known(Paid):
        found = problems(
            Paid,
            prepare=lambda scenario: scenario.when_confirmed("payment", data={"charge": "ch-1"}),
            leaves=["lab_mark"],
        )
    assert found == {}


# -- What is compared -----------------------------------------------------------------------------------------


def test_tables_with_any_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with isolate_apps("tests.lab") as isolated:
        assert isolated is not None
        _read_a_table_of_another_shape(isolated, monkeypatch)


def _read_a_table_of_another_shape(isolated: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seat(models.Model):
        row = models.IntegerField()
        entry = models.IntegerField()
        neighbours = models.ManyToManyField("self")

        class Meta:
            app_label = "lab"
            db_table = "a seat's"

        def __str__(self) -> str:
            return str(self.row)

    with connection.schema_editor() as editor:
        editor.create_model(Seat)
    one, other = (Seat._default_manager.create(row=1, entry=number) for number in (2, 3))
    one.neighbours.add(other)
    monkeypatch.setattr("sagas.testing.matrix.snapshot.apps", isolated)
    found = snapshot.take_snapshot(["default"])
    assert [row["entry"] for row in found["a seat's"]] == [2, 3]
    assert len(found[Seat.neighbours.through._meta.db_table]) == 2


def test_djangos_users_are_compared_and_the_engines_runs_are_not() -> None:
    names = {model._meta.db_table for model in apps.get_models() if snapshot._is_own(model)}
    assert {"auth_user", "auth_group", "orders_order"} <= names
    assert not names & {"auth_permission", "django_session", "sagas_run"}


# -- What it says ---------------------------------------------------------------------------------------------


def test_an_invariant_that_raises_is_reported_with_its_case() -> None:
    def ask(_: Ended) -> None:
        JarHold.objects.get(run_id="00000000-0000-0000-0000-000000000000")

    with mistaken.saga(hold, give_back) as saga, pytest.raises(AssertionError) as failed:
        assert_saga_unwinds(saga, an_experiment, invariant=ask)
    said = str(failed.value)
    assert "hold.forward-rejects-orchestration: the invariant does not hold even without any fault: " in said
    assert "JarHold matching query does not exist." in said


def test_only_the_first_failed_cases_are_described_in_full() -> None:
    with mistaken.saga(hold, give_back) as saga, pytest.raises(AssertionError) as failed:
        assert_saga_unwinds(saga, an_experiment, invariant=lambda _: False)
    assert str(failed.value).count("mistaken.Mistaken ") == 3
    assert "\nand:\n  hold.forward-" in str(failed.value)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"carriers": ["choreo"]}, ValueError, "a carrier is orchestration or choreography, and not 'choreo'"),
        ({"ignore": "lab_jar.name"}, TypeError, r"pass a list, as in \['lab_jar.name'\]"),
        ({"leaves": "lab_jar"}, TypeError, r"pass a list, as in \['lab_jar'\]"),
    ],
)
def test_invalid_arguments_are_refused_when_the_test_is_made(
    more: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        saga_matrix(Lab, an_experiment, **more)
    with pytest.raises(TypeError, match="a saga is a class derived from Saga, and not 'Lab'"):
        saga_matrix("Lab", an_experiment)  # type: ignore[arg-type]


@contextmanager
def known(saga: type[Saga[Any]]) -> Iterator[None]:
    """A saga that the engine knows inside."""
    try:
        yield
    finally:
        runtime.declared.definitions.pop((saga.definition.name, saga.definition.version))


# -- Steps that a run skips -------------------------------------------------------------------------------------


def test_a_request_that_skips_other_steps_than_the_matrix_says_is_told() -> None:
    subject = Subject(Choosy, lambda: replace(an_experiment(), skip=("two",)), leaves=["lab_mark"])
    assert {outcome.problem for outcome in outcomes(subject, carriers=["orchestration"])} == {
        "the request skips ['two']: pass skips=['two'], and not []"
    }


def test_a_step_without_a_condition_cannot_be_skipped() -> None:
    with pytest.raises(UnknownStep, match="cannot skip one"):
        Subject(Lab, an_experiment, skips=["one"])


def test_a_scenario_tells_which_steps_were_skipped() -> None:
    skipping = given(Choosy, Experiment(skip=("one", "four"))).when_confirmed().then_skipped("one", "four")
    with pytest.raises(AssertionError, match=r"expected one to be skipped, and not one, four\n\n.*it skips one, four"):
        skipping.then_skipped("one")
