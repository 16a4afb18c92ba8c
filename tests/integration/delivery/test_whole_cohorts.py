"""Cohorts that are one transaction: the dispatcher performs them itself, and others claim meanwhile."""

from __future__ import annotations

from uuid import UUID

import pytest
from kombu.exceptions import OperationalError as BrokerAway
from pytest_django import Settings

import sagas
from sagas import State, runtime
from sagas.delivery import dispatching, short_path
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.short_path import ShortPath
from sagas.messaging import dispatcher, publisher
from sagas.messaging.app import app
from sagas.messaging.publisher import Publisher
from sagas.models import Run
from sagas.redis import kicks
from tests.lab import sagas as lab
from tests.lab.sagas import Compressed, Experiment, Lab
from tests.support import broker
from tests.support.runs import states

pytestmark = pytest.mark.usefixtures("alone")

#: What a dispatcher performs by the short path, and more: no more than one transaction has savepoints for.
FEW, MANY = 8, 10
HERE = ("orders",)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A slow machine ends no dispatch; cohorts are small, and nothing is known of the claims before."""
    monkeypatch.setattr(short_path, "LONGEST", 60.0)
    monkeypatch.setattr(dispatching, "FEW", FEW)
    settings.SAGAS = {**settings.SAGAS, "COHORT": MANY, "CLAIM": 3 * MANY}
    monkeypatch.setattr(runtime.memory, "performs_claims", False)
    monkeypatch.setattr(runtime.memory, "performed_at", -1e9)


def start(count: int, saga: type[sagas.Saga[Experiment]] = Compressed) -> list[UUID]:
    return [sagas.start(saga, Experiment()) for _ in range(count)]


def on_their_way() -> int:
    """Messages of steps on all queues."""
    return sum(broker.length(queue) for queue in ("orders", "inventory", "coupons", "delivery"))


def dispatch() -> tuple[bool, int]:
    """Dispatch as a worker does; return what it says, and how often it has asked for another dispatch."""
    asked: list[None] = []
    full = dispatching.dispatch(Publisher, ShortPath(queues=HERE), ask_again=lambda: asked.append(None))
    return full, len(asked)


def test_a_cohort_that_is_one_transaction_needs_no_message() -> None:
    # Given
    ids = start(MANY)
    # When
    full, asked = dispatch()
    # Then
    assert states(ids) == {State.AWAITING_CONFIRM: MANY}
    assert on_their_way() == 0
    assert (full, asked) == (False, 0)


def test_of_several_the_dispatcher_performs_one_and_the_others_go_out_before_it() -> None:
    # Given more than one claim takes
    ids = start(3 * MANY + 1)
    # When
    full, asked = dispatch()
    # Then others were asked to claim the rest
    assert states(ids)[State.AWAITING_CONFIRM] == MANY
    assert on_their_way() == 2
    assert (full, asked) == (False, 1)


def test_the_next_claim_takes_no_more_than_is_performed_at_once() -> None:
    # Given
    dispatch_many = start(MANY)
    dispatch()
    ids = start(2 * MANY)
    # When
    full, asked = dispatch()
    # Then
    assert states(dispatch_many) == {State.AWAITING_CONFIRM: MANY}
    assert states(ids) == {State.AWAITING_CONFIRM: MANY, State.PENDING: MANY}
    assert on_their_way() == 0
    assert (full, asked) == (False, 1)


def test_cohorts_of_ordinary_sagas_go_out_and_claims_are_large_again() -> None:
    # Given
    start(MANY)
    dispatch()
    ids = start(2 * MANY, Lab)
    # When / Then the first is as small as those before
    assert dispatch() == (True, 0)
    assert on_their_way() == 1
    ids += start(MANY, Lab)
    assert dispatch() == (False, 0)
    assert on_their_way() == 3
    assert states(ids) == {State.EXECUTING: 3 * MANY}


def test_a_cohort_whose_first_queue_is_elsewhere_goes_out() -> None:
    ids = start(MANY)
    dispatching.dispatch(Publisher, ShortPath(queues=("inventory",)))
    assert states(ids) == {State.EXECUTING: MANY}
    assert on_their_way() == 1


def test_a_cohort_is_given_back_with_the_others_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    ids = start(2 * MANY)

    def refuse(*_: object) -> None:
        raise BrokerAway

    monkeypatch.setattr(publisher, "_publish_chain", refuse)
    # When
    with pytest.raises(CarrierAway):
        dispatch()
    # Then
    assert set(Run.objects.filter(pk__in=ids).values_list("claims", flat=True)) == {0}


def test_a_process_that_dies_at_it_leaves_its_lease_which_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    ids = start(MANY)

    def die(_call: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(lab, "judge", die)
    # When
    with pytest.raises(SystemExit):
        dispatch()
    # Then
    assert set(Run.objects.filter(pk__in=ids).values_list("claims", flat=True)) == {1}


# -- The next dispatch ------------------------------------------------------------------------------------------------


def ask(*, tick: bool = False) -> None:
    dispatcher._ask_again(app, tick=tick)


def test_only_one_dispatch_is_on_its_way() -> None:
    ask()
    ask()
    assert broker.length("sagas.dispatch") == 1
    # When it begins
    kicks.end_reservation()
    ask()
    assert broker.length("sagas.dispatch") == 2


def test_without_redis_a_tick_adds_no_dispatch_to_those_that_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(kicks, "try_reserve_dispatch", lambda: "mine")
    ask(tick=True)
    # When / Then
    ask(tick=True)
    assert broker.length("sagas.dispatch") == 1
    # But a cohort that goes on asks each time
    ask()
    assert broker.length("sagas.dispatch") == 2


def test_where_none_can_be_asked_for_the_tick_does_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BrokerAway

    monkeypatch.setattr(dispatcher, "ask_for_dispatch", refuse)
    ask()
    # Then the next one may be reserved
    assert kicks.try_reserve_dispatch() is not None
