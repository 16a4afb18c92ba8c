"""``sagas.testing``: given a saga and a request, when this or that goes wrong, then it ends like so."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

import sagas
from coupons.models import Grant
from inventory.models import Batch
from orders import services
from orders.models import Order
from orders.services import Wanted
from sagas import Done, Rejected, runtime, store
from sagas.errors import UnknownStep
from sagas.models import Log, Run
from sagas.testing import Clock, Scenario, given, given_run
from tests.lab.models import Jar
from tests.lab.sagas import (
    Boom,
    Experiment,
    Forked,
    Hurried,
    Lab,
    PaidGroup,
    Parent,
    Pivoted,
    Reported,
    Twice,
    Unconfirmed,
)
from tests.support.runs import assert_effects_once
from tests.support.shop import TEA, open_shop

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]

CARRIERS = pytest.mark.parametrize("carrier", ["orchestration", "choreography"])
STEPS = ["create_order", "reserve_inventory", "apply_coupon", "schedule_delivery"]


@pytest.fixture
def jar() -> str:
    return Jar.objects.create(name="jar", available=10).name


def order(carrier: str) -> Scenario:
    """An order of two cups with a coupon, placed as the API places it."""
    shop = open_shop(stock={TEA: 10}, coupons=["C1"])
    items = [Wanted(TEA, 2)]
    run_id = services.place_order(
        order_no="D-1", customer_id=shop.customer_id, items=items, slot=shop.slot, coupon="C1"
    )
    return given_run(run_id, carrier=carrier)


def assert_nothing_is_taken() -> None:
    assert Batch.objects.values_list("available", "held", "sold").get(key=TEA) == (10, 0, 0)
    assert not Grant.objects.filter(state__in=["USED", "REFUNDING"]).exists()
    assert Order.objects.get().status == "REJECTED"


# -- The shop's saga ------------------------------------------------------------------------------------------


@CARRIERS
def test_a_paid_order_succeeds(carrier: str) -> None:
    order(carrier).when_confirmed("payment", data={"payment_id": "p-1"}).then_done(*STEPS).then_succeeded()
    assert Batch.objects.values_list("available", "held", "sold").get(key=TEA) == (8, 0, 2)
    assert Order.objects.get().status == "CONFIRMED"


@CARRIERS
@pytest.mark.parametrize("step", STEPS)
def test_an_order_with_a_rejected_step_is_undone(step: str, carrier: str) -> None:
    before = STEPS[: STEPS.index(step)]
    scenario = order(carrier).when_rejects(step, code="NotToday").then_because("NotToday")
    scenario.then_compensated(*reversed(before))
    if before:
        assert_nothing_is_taken()


@CARRIERS
@pytest.mark.parametrize("step", STEPS)
def test_an_order_with_a_step_that_always_fails_is_undone(step: str, carrier: str) -> None:
    before = STEPS[: STEPS.index(step)]
    order(carrier).when_fails(step).then_compensated(*reversed(before)).then_because("Broken")


@CARRIERS
@pytest.mark.parametrize("step", STEPS)
def test_an_order_whose_step_is_answered_at_the_third_attempt_succeeds(step: str, carrier: str) -> None:
    scenario = order(carrier).when_times_out(step, attempts=2).when_confirmed().then_succeeded()
    assert Log.objects.filter(run_id=scenario.run_id, step=step, outcome="FAULT").count() == 2
    assert Batch.objects.values_list("available", "held", "sold").get(key=TEA) == (8, 0, 2)


@CARRIERS
def test_an_unpaid_order_is_undone(carrier: str) -> None:
    scenario = order(carrier).when_not_confirmed("payment").then_compensated(*reversed(STEPS))
    scenario.then_because("NotConfirmed").then(assert_nothing_is_taken)
    # By RabbitMQ's message, a moment of the test's own clock after its time
    late = Run.objects.get(pk=scenario.run_id).reason
    assert late is not None
    assert (late["by"], late["late_ms"]) == ("message", 0)


def test_a_cancelled_order_is_undone() -> None:
    order("orchestration").when_cancelled().then_compensated(*reversed(STEPS)).then(assert_nothing_is_taken)


@CARRIERS
def test_an_undo_that_always_fails_escalates(carrier: str) -> None:
    scenario = order(carrier).when_rejects("schedule_delivery").when_fails("apply_coupon", operation="compensate")
    scenario.then_escalated("apply_coupon")


# -- The laboratory's -----------------------------------------------------------------------------------------


@CARRIERS
def test_a_saga_without_faults_succeeds(carrier: str) -> None:
    scenario = given(Unconfirmed, Experiment(), business_key="E-1", carrier=carrier).then_succeeded()
    assert_effects_once(scenario.run_id)
    assert Run.objects.get(pk=scenario.run_id).business_key == "E-1"


@CARRIERS
def test_a_run_is_decided_with_its_group(carrier: str, jar: str) -> None:
    member = Experiment(jar=jar, group="g")
    given(PaidGroup, member, carrier=carrier).when_confirmed("payment").then_waits()
    given(PaidGroup, member, carrier=carrier).when_confirmed("formed", data={"members": 2}).then_waits()
    # From then on it is decided
    given(PaidGroup, member, carrier=carrier).when_confirmed("payment").then_succeeded()


@CARRIERS
def test_a_run_is_undone_with_its_group(carrier: str, jar: str) -> None:
    member = Experiment(jar=jar, group="g")
    scenario = given(PaidGroup, member, carrier=carrier).when_confirmed("payment")
    scenario.when_declined("formed", reason="too few").then_compensated("payment", "two", "three")
    scenario.then_because("Refused")


def test_a_decision_has_no_deadline(jar: str) -> None:
    with pytest.raises(ValueError, match="formed has no deadline"):
        given(PaidGroup, Experiment(jar=jar, group="g")).when_not_confirmed("formed")
    scenario = given(PaidGroup, Experiment(jar=jar, group="g")).when_not_confirmed()
    scenario.then_compensated("formed", "two", "three").then_because("NotConfirmed")


@CARRIERS
def test_a_run_without_its_confirmation_waits(carrier: str, jar: str) -> None:
    given(Lab, Experiment(jar=jar), carrier=carrier).then_done("one", "two", "three", "four").then_waits()


@CARRIERS
@pytest.mark.parametrize("step", ["one", "left", "right", "three", "four"])
def test_the_branches_of_a_fork_are_undone(step: str, carrier: str, jar: str) -> None:
    scenario = given(Forked, Experiment(jar=jar), carrier=carrier).when_rejects(step).when_confirmed().then_failed()
    assert_effects_once(scenario.run_id)
    assert Jar.objects.get(name=jar).available == 10


def test_a_run_with_one_of_two_confirmations_is_undone() -> None:
    scenario = given(Twice, Experiment()).when_not_confirmed("payment").then_failed().then_because("NotConfirmed")
    reason = Run.objects.get(pk=scenario.run_id).reason
    assert reason is not None
    assert reason["step"] == "payment"


def test_a_run_with_a_declined_confirmation_is_undone() -> None:
    given(Twice, Experiment()).when_declined("payment", reason="no money").then_failed().then_because("Refused")


def test_a_run_past_its_pivot_waits_for_its_next_attempt(jar: str) -> None:
    given(Pivoted, Experiment(jar=jar)).when_fails("two", attempts=2).when_confirmed().then_succeeded()


def test_a_step_past_its_timeout_is_undone() -> None:
    given(Hurried, Experiment()).when_fails("two").then_compensated("one").then_because("TimedOut")


def test_an_accepted_step_is_reported(jar: str) -> None:
    scenario = given(Reported, Experiment(jar=jar)).when_reported("two", Done({"by": "post"})).when_reported("left")
    scenario.then_succeeded()
    assert Run.objects.get(pk=scenario.run_id).results["two"] == {"by": "post"}
    refused = given(Reported, Experiment(jar=jar)).when_reported("two", Rejected("no", code="NotAtHome"))
    # It was begun, and may have left something
    refused.then_compensated("two", "one").then_because("NotAtHome")


def test_a_sub_saga_is_played(jar: str) -> None:
    scenario = given(Parent, Experiment(jar=jar)).when_child_confirmed("asked").when_rejects("four").then_failed()
    children = Run.objects.filter(parent_id=scenario.run_id)
    assert children
    assert {child.state for child in children} == {"FAILED"}


def test_a_branch_waits_for_its_next_attempt_and_not_for_ever(jar: str) -> None:
    """Its wait has a spread, and its end is no whole microsecond: a clock that stands still must not stop before it."""
    for _ in range(4):
        scenario = given(Parent, Experiment(jar=jar)).when_fails("child", attempts=2).when_child_confirmed("asked")
        scenario.when_confirmed().then_succeeded()


# -- What it says ---------------------------------------------------------------------------------------------


def test_an_expectation_that_does_not_hold_shows_the_runs_log() -> None:
    scenario = given(Unconfirmed, Experiment()).when_fails("two", attempts=1)
    with pytest.raises(AssertionError) as failed:
        scenario.then_compensated("one")
    said = str(failed.value).splitlines()
    assert said[0] == "expected the run to be FAILED, and not SUCCEEDED"
    assert said[2] == f"lab.Unconfirmed {scenario.run_id} is SUCCEEDED"
    assert said[4].split() == ["after", "step", "operation", "outcome", "try"]
    rows = [" ".join(line.split()) for line in said[5:]]
    assert rows[0] == "0.0 s start"
    assert '0.0 s one forward DONE 1 {"by": "one"}' in rows
    assert any(row.startswith("0.0 s two forward FAULT 1") and "two is broken" in row for row in rows)
    assert "0.1 s two forward DONE 2" in rows or "0.0 s two forward DONE 2" in rows


def test_a_failed_check_shows_the_runs_log() -> None:
    def check() -> None:
        msg = "the books do not balance"
        raise AssertionError(msg)

    with pytest.raises(AssertionError, match=r"(?s)the books do not balance.*one +forward +DONE"):
        given(Unconfirmed, Experiment()).then(check)


def test_the_wrong_steps_are_named() -> None:
    with pytest.raises(AssertionError, match="expected two, one to be undone, and not one"):
        given(Unconfirmed, Experiment()).when_rejects("two").then_compensated("two", "one")
    with pytest.raises(AssertionError, match="undone because of Sold, and not of Rejected"):
        given(Unconfirmed, Experiment()).when_rejects("two").then_because("Sold")


def test_names_that_the_saga_does_not_have_are_refused_at_once() -> None:
    scenario = given(Lab, Experiment())
    with pytest.raises(UnknownStep, match="nine"):
        scenario.when_rejects("nine")
    with pytest.raises(ValueError, match="two has no cancel; it has forward, compensate"):
        scenario.when_fails("two", operation="cancel")
    with pytest.raises(ValueError, match="has no confirmation 'money'; it has "):
        scenario.when_confirmed("money")


# -- What it leaves -------------------------------------------------------------------------------------------


def test_a_scenario_restores_settings_and_clock() -> None:
    actions = [dict(step.actions) for step in Lab.definition.all_steps]
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        path = cursor.fetchone()
        given(Lab, Experiment(jar="none")).when_fails("one").then_failed()
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() == path
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'sagas_clock'")
        assert cursor.fetchone() == (0,)
    assert [dict(step.actions) for step in Lab.definition.all_steps] == actions


def test_the_clock_stands_still_until_it_is_told_to_go_on() -> None:
    def asked() -> list[object]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT now(), clock_timestamp(), statement_timestamp(), transaction_timestamp()")
            return list(cursor.fetchone())

    with Clock() as clock:
        assert asked() == [clock.now] * 4
        before = clock.now
        clock.advance(timedelta(hours=1))
        assert asked() == [before + timedelta(hours=1)] * 4
        clock.move_to(before)
        assert asked() == [before + timedelta(hours=1)] * 4
    assert asked()[1] < before + timedelta(minutes=5)  # type: ignore[operator]


def test_what_is_due_before_the_last_look_is_found_when_the_clock_has_gone_back() -> None:
    def slow_claims_in_a_week() -> None:
        # As after a claim that took long, on a slow machine: nothing was due before that moment.
        memory = runtime.memory
        memory.is_due_crowded, memory.floor_until, memory.floor = True, math.inf, time.time() + 7 * 86_400

    # When: another test has ended a week later
    slow_claims_in_a_week()
    given(Unconfirmed, Experiment()).then_succeeded()

    # When: what was done in that week was rolled back
    with Clock() as clock:
        clock.advance(timedelta(days=7))
        slow_claims_in_a_week()
        clock.move_back_to(clock.now - timedelta(days=7))
        given(Unconfirmed, Experiment()).then_succeeded()
        slow_claims_in_a_week()

    # When: the clock shows the real time again
    assert store.claims.floor() is None


def test_a_scenario_goes_on_from_the_clock_of_its_test() -> None:
    with Clock() as clock:
        # Given
        clock.advance(timedelta(days=1))
        began = clock.now

        # When
        given(Twice, Experiment()).when_not_confirmed().then_failed()

        # Then
        assert clock.now > began
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            assert cursor.fetchone() == (clock.now,)


# -- What is said, and cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (
            lambda: given(Lab, Experiment()).when_fails("two", operation="compensate").when_confirmed(),
            "when_fails('two'",
        ),
        (lambda: given(Unconfirmed, Experiment()).when_cancelled(), "when_cancelled()"),
        (
            lambda: given(Reported, Experiment()).when_reported("two").when_reported("left").when_reported("one"),
            "'one'",
        ),
        (lambda: given(Twice, Experiment()).when_fails("one").when_declined("payment"), "when_declined('payment')"),
    ],
)
def test_a_declared_event_that_never_happens_fails_the_test(scenario: Callable[[], Scenario], said: str) -> None:
    with pytest.raises(AssertionError, match="to happen: the run never came to it") as failed:
        scenario().then(lambda: None)
    assert said in str(failed.value)


def test_an_event_declared_after_the_scenario_was_played_is_refused() -> None:
    scenario = given(Unconfirmed, Experiment()).when_fails("two", attempts=1).then_succeeded()
    with pytest.raises(RuntimeError, match="say what happens before the first then_…"):
        scenario.when_rejects("one")


def test_invalid_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="attempts=0: at one at least"):
        given(Lab, Experiment()).when_fails("two", attempts=0)
    with pytest.raises(TypeError, match=r"two is reported as Done\(…\) or Rejected\(…\), and not as 3"):
        given(Reported, Experiment()).when_reported("two", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"lab\.Parent\.one is no SubSaga"):
        given(Parent, Experiment()).when_child_confirmed("one")
    with pytest.raises(ValueError, match="payment cannot come and be missing"):
        given(Twice, Experiment()).when_confirmed("payment").when_not_confirmed("payment")
    with pytest.raises(ValueError, match="a carrier is orchestration or choreography, and not 'choreo'"):
        given(Lab, Experiment(), carrier="choreo")
    with pytest.raises(UnknownStep):
        given(Unconfirmed, Experiment()).then_done("onne")


def test_a_scenario_that_is_never_played_causes_a_warning() -> None:
    scenario = given(Lab, Experiment()).when_fails("two")
    with pytest.warns(UserWarning, match=r"lab\.Lab has no then_…, and was never played"):
        del scenario


def test_the_traceback_of_a_participant_is_shown() -> None:
    with pytest.raises(AssertionError) as failed:
        given(Unconfirmed, Experiment(faults={"two.forward": 9})).then_succeeded()
    cause = failed.value.__cause__
    assert isinstance(cause, Boom)
    assert any(frame.name == "judge" for frame in traceback.extract_tb(cause.__traceback__))


def test_a_run_of_unknown_code_keeps_no_scenario_from_its_end() -> None:
    other = sagas.start(Lab, Experiment())
    Run.objects.filter(pk=other).update(saga="nobody.Knows")
    given(Unconfirmed, Experiment()).then_succeeded()
