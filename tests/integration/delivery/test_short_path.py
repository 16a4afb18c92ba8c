"""The short path: a process that goes on with the next step itself, and what is left of it when the process dies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import pytest

import sagas
from sagas import Call, Saga, State, Step
from sagas.decisions.messages import Chain, Link, Message
from sagas.delivery import redelivery, short_path
from sagas.engine.cohort import Performed
from sagas.engine.performing import perform, redeliver_in_halves, sort_along_chain
from sagas.models import Log, Run
from tests.lab.sagas import QUICK, Experiment, Forked, Lab
from tests.support.carrier import chains, claim_all, deliver_all
from tests.support.runs import assert_effects_once, effects, make_due, marks, state, states

pytestmark = pytest.mark.usefixtures("alone")

EVERYWHERE = ("orders", "coupons", "inventory", "delivery")


class Dies(BaseException):
    """What a process does that is killed: no ``except Exception`` sees it."""


def given(count: int, experiment: Experiment, saga: type[Saga[Experiment]] = Lab) -> Chain:
    """A cohort that was claimed just now."""
    for _ in range(count):
        sagas.start(saga, experiment)
    (chain,) = chains(claim_all())
    return chain


def walk(chain: Chain, here: Collection[str] = EVERYWHERE) -> tuple[Performed, list[Message]]:
    """What a worker does that consumes these queues: what became of the first link, and what is left to publish."""
    path = short_path.ShortPath(queues=here)
    rest = chain.links[1:]
    held = path.may_go_on(rest)
    performed = perform(chain.links[0], chain.ids, held=held)
    return performed, path.go_on(rest, performed, held=held)


def claims_of(ids: Sequence[UUID]) -> set[int]:
    return set(Run.objects.filter(pk__in=ids).values_list("claims", flat=True))


def dies_after(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Have the process die that goes on behind the commit of this step."""
    last: list[str] = []

    def honest_until(link: Link, ids: Sequence[UUID], **more: Any) -> Performed:
        if last == [step]:
            raise Dies
        last[:] = [link.step]
        return perform(link, ids, **more)

    monkeypatch.setattr(redelivery, "perform", honest_until)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine ends no walk."""
    monkeypatch.setattr(short_path, "LONGEST", 60.0)


# -- As far as it goes ----------------------------------------------------------------------------------------


def test_a_fresh_cohort_goes_all_the_way_without_a_message(jar: str) -> None:
    chain = given(3, Experiment(jar=jar))
    _, following = walk(chain)
    assert chains(following) == []
    assert states(chain.ids) == {State.AWAITING_CONFIRM: 3}
    for run_id in chain.ids:
        assert_effects_once(run_id)


def test_each_row_of_the_log_has_its_own_time(jar: str) -> None:
    chain = given(1, Experiment(jar=jar))
    walk(chain)
    times = list(Log.objects.filter(run_id=chain.ids[0]).order_by("id").values_list("at", flat=True))
    assert times == sorted(set(times))


def test_it_ends_before_a_queue_that_the_worker_does_not_consume(jar: str) -> None:
    # Given a worker that does not perform the third step
    chain = given(2, Experiment(jar=jar))
    # When
    _, following = walk(chain, here=("orders", "coupons", "delivery"))
    # Then the rest goes out as it would have from the second one's worker
    (rest,) = chains(following)
    assert rest == Chain(chain.links[2:], tuple(sorted(chain.ids)))
    assert claims_of(chain.ids) == {0}


def test_it_ends_when_its_time_is_over(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_path, "LONGEST", -1.0)
    chain = given(2, Experiment(jar=jar))
    _, following = walk(chain)
    (rest,) = chains(following)
    assert rest == Chain(chain.links[1:], tuple(sorted(chain.ids)))
    assert claims_of(chain.ids) == {0}


def test_it_ends_before_a_fork(jar: str) -> None:
    chain = given(1, Experiment(jar=jar), Forked)
    _, following = walk(chain)
    assert {link.step for branch in chains(following) for link in branch.links} <= {"left", "two", "three", "right"}
    assert state(chain.ids[0]) is State.EXECUTING
    assert effects(chain.ids[0]) == ["one.forward"]


def keeps_a_tuple(call: Call[Experiment]) -> dict[str, Any]:
    return {"pair": (1, 2)}


def sees(call: Call[Experiment]) -> str:
    return type(call.results["one"]["pair"]).__name__


class Told(Saga[Experiment]):
    """Its second step tells what it sees of the first."""

    one = Step(keeps_a_tuple, queue="orders", retry=QUICK)
    two = Step(sees, queue="orders", retry=QUICK)


def test_a_step_sees_the_results_as_a_redelivery_would_read_them() -> None:
    chain = given(1, Experiment(), Told)
    walk(chain)
    assert Run.objects.get(pk=chain.ids[0]).results["two"] == "list"


# -- What goes by messages ------------------------------------------------------------------------------------


def test_a_run_that_failed_before_goes_by_messages_alone(jar: str) -> None:
    # Given a run of which the first attempt broke
    chain = given(1, Experiment(jar=jar, faults={"one.forward": 1}))
    walk(chain)
    make_due(chain.ids)
    # When it is claimed again
    (again,) = chains(claim_all())
    # Then
    assert again.by_message
    deliver_all(again)
    assert state(chain.ids[0]) is State.AWAITING_CONFIRM


def test_the_neighbours_of_a_run_that_breaks_a_set_go_on_by_messages(jar: str) -> None:
    # Given three runs, of which one breaks the set-based second step for all of them
    sagas.start(Lab, Experiment(jar=jar, faults={"two.forward": 9}))
    chain = given(2, Experiment(jar=jar))
    assert len(chain.ids) == 3
    # When
    _, following = walk(chain)
    # Then they stop behind it
    rest = [message for message in chains(following) if message.links[0].step == "three"]
    assert sum(len(message.ids) for message in rest) == 2
    assert all(message.by_message for message in rest)


def test_a_repeat_of_the_first_message_does_not_go_on_by_itself(jar: str) -> None:
    # Given a worker that has done the first step, and has the runs
    chain = given(1, Experiment(jar=jar))
    perform(chain.links[0], chain.ids, held=True)
    # When the message comes to another one as well
    _, following = walk(chain)
    # Then that one only sends them on
    (rest,) = chains(following)
    assert (rest.links, rest.by_message) == (chain.links[1:], True)
    assert marks(chain.ids[0]) == {"one.forward": 1}


def test_a_repeat_after_the_whole_walk_changes_nothing(jar: str) -> None:
    chain = given(2, Experiment(jar=jar))
    walk(chain)
    _, following = walk(chain)
    assert chains(following) == []
    for run_id in chain.ids:
        assert_effects_once(run_id)


# -- Death between two commits --------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["two", "three"])
def test_a_death_between_two_commits_is_counted_as_a_lapsed_lease(
    jar: str, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    # Given
    chain = given(1, Experiment(jar=jar))
    dies_after(monkeypatch, last)
    # When
    with pytest.raises(Dies):
        walk(chain)
    # Then it does not look as if nobody had had it
    assert claims_of(chain.ids) == {1}
    make_due(chain.ids)
    assert claim_all() == []
    # And when its lease has lapsed, it goes by messages
    (again,) = chains(claim_all(lapsed=True))
    assert (again.interruptions, again.by_message) == (1, True)
    deliver_all(again)
    assert state(chain.ids[0]) is State.AWAITING_CONFIRM
    assert_effects_once(chain.ids[0])


def test_a_redelivery_finds_its_runs_where_they_stand_and_sends_them_on(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that died three links on with the first link's message
    chain = given(4, Experiment(jar=jar))
    dies_after(monkeypatch, "three")
    with pytest.raises(Dies):
        walk(chain)
    # When RabbitMQ delivers that again
    halves = chains(redeliver_in_halves(chain.links[0], chain.ids))
    # Then they are delivered at the fourth
    assert [[link.step for link in half.links] for half in halves] == [["four"], ["four"]]
    assert all(half.by_message and half.interruptions == 1 for half in halves)
    for half in halves:
        deliver_all(half)
    assert states(chain.ids) == {State.AWAITING_CONFIRM: 4}
    for run_id in chain.ids:
        assert_effects_once(run_id)


def test_runs_that_stand_at_the_link_of_a_redelivery_are_not_ahead_of_it(jar: str) -> None:
    chain = given(2, Experiment(jar=jar))
    assert sort_along_chain(chain.links[0], chain.ids) == (sorted(chain.ids), {})


def test_a_hand_over_by_message_leaves_a_run_as_if_nobody_had_it(jar: str) -> None:
    chain = given(1, Experiment(jar=jar))
    perform(chain.links[0], chain.ids, held=True)
    assert claims_of(chain.ids) == {1}
    perform(chain.links[1], chain.ids)
    assert claims_of(chain.ids) == {0}
