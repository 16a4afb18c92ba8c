"""Cohorts and claims: two deliveries of the same runs, two claims of the same backlog, two cohorts at the same pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.test import override_settings

import sagas
from sagas import State
from sagas.decisions.messages import Chain
from sagas.delivery.delivering import deliver_chain
from sagas.engine.claiming import claim
from sagas.engine.performing import perform
from sagas.local.carrier import LocalCarrier, Waiting
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.races.racing import COMMIT, Race, Stop
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    counts,
    effects,
    make_due,
    new_jar,
    reason,
    state,
    states,
)

pytestmark = pytest.mark.usefixtures("alone")

RUNS = 3


def start(count: int, **experiment: Any) -> list[UUID]:
    return sorted(sagas.start(Lab, Experiment(**experiment)) for _ in range(count))


def up_to(chain: Chain, step: str) -> Chain:
    following: Chain | None = chain
    while following is not None and following.links[0].step != step:
        _, following = deliver(following)
    assert following is not None
    return following


def delivery(chain: Chain, *, token: int = 0) -> Callable[[], list[UUID]]:
    """Deliver the first link only; with another fencing token than before, so that Redis does not hold it back."""
    return lambda: perform(chain.links[0], chain.ids, token=token).survivors


# -- The same cohort twice ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["one", "two", "three"])
def test_a_cohort_is_delivered_twice_at_once(race: Race, jar: str, step: str) -> None:
    # Given
    ids = start(RUNS, jar=jar)
    (chain,) = chains(claim_all())
    chain = up_to(chain, step)
    # When its double comes while it is about to commit
    first, second = race.overtake(delivery(chain), delivery(chain))
    # Then the double finds them behind the step and passes them on, for the first may die before it does
    assert first == second == ids
    for run_id in ids:
        assert len([effect for effect in effects(run_id) if effect.startswith(f"{step}.")]) == 1
    both = Chain(chain.links[1:], tuple(ids))
    carrier = Carrier()
    carrier.post([both, both])
    carrier.run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: RUNS}
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.mark.parametrize("step", ["one", "three"])
@pytest.mark.parametrize("is_message_first", [False, True], ids=["process first", "message first"])
def test_a_message_comes_while_a_process_without_a_broker_performs_its_runs(
    race: Race, jar: str, step: str, is_message_first: bool
) -> None:
    # Given a project that moves: a message of Celery's is on its way, and the lease of its runs has lapsed
    ids = start(RUNS, jar=jar)
    (chain,) = chains(claim_all())
    chain = up_to(chain, step)

    def walk() -> None:
        deliver_chain(chain, worker="work", carriers=partial(LocalCarrier, Waiting(lambda: None)))

    # When both come at the same time
    both: list[Callable[[], Any]] = [walk, delivery(chain)]
    first, second = reversed(both) if is_message_first else both
    race.overtake(first, second)

    # Then each step is performed once, by one of them
    carrier = Carrier()
    carrier.post([Chain(chain.links[1:], tuple(ids))])
    carrier.run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: RUNS}
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.mark.parametrize("halves", [(slice(0, 2), slice(1, 3)), (slice(1, 3), slice(0, 2))])
def test_two_cohorts_have_a_run_in_common(race: Race, jar: str, halves: tuple[slice, slice]) -> None:
    ids = start(RUNS, jar=jar)
    (chain,) = chains(claim_all())
    chain = up_to(chain, "three")
    first, second = race.overtake(*(delivery(Chain(chain.links, chain.ids[half])) for half in halves))
    assert [first, second] == [ids[half] for half in halves]
    assert counts(jar) == (1000 - RUNS, RUNS, 0)


@pytest.mark.parametrize("phase", ["undo", "confirm"])
def test_an_undo_or_a_confirm_is_delivered_twice_at_once(race: Race, jar: str, phase: str) -> None:
    # Given
    ids = start(RUNS, jar=jar)
    Carrier().run(ids)
    for run_id in ids:
        if phase == "undo":
            sagas.cancel(run_id)
        else:
            sagas.confirm(run_id, "approval", {})
    (chain,) = chains(claim_all())
    chain = up_to(chain, "three")
    # When
    first, second = race.overtake(delivery(chain, token=1), delivery(chain, token=2))
    # Then
    assert (first, second) == ((ids, ids) if phase == "undo" else ([], []))
    assert counts(jar) == ((1000, 0, 0) if phase == "undo" else (1000 - RUNS, 0, RUNS))
    carrier = Carrier()
    carrier.post([Chain(chain.links[1:], tuple(ids))] if chain.links[1:] else [])
    carrier.run(ids)
    assert states(ids) == {State.FAILED if phase == "undo" else State.SUCCEEDED: RUNS}
    for run_id in ids:
        assert_effects_once(run_id)


# -- Claims ---------------------------------------------------------------------------------------------------


def claimed(*, lapsed: bool = False) -> list[UUID]:
    return sorted(run_id for chain in chains(claim(lapsed=lapsed).messages) for run_id in chain.ids)


@pytest.mark.parametrize("lapsed", [False, True], ids=["fresh", "lapsed"])
def test_two_claims_take_different_runs(race: Race, jar: str, lapsed: bool) -> None:
    # Given
    ids = start(2 * RUNS, jar=jar)
    if lapsed:
        claim_all()
        make_due(ids)
    with override_settings(SAGAS={**settings.SAGAS, "CLAIM": RUNS, "RECLAIM": RUNS}):
        # When one is about to commit
        first = race.start(lambda: claimed(lapsed=lapsed), COMMIT)
        # Then the other one does not wait for it, nor takes what it has
        second = race.start(lambda: claimed(lapsed=lapsed)).outcome()
        third = race.start(lambda: claimed(lapsed=lapsed)).outcome()
        first.go()
        taken = first.outcome()
    assert isinstance(taken, list)
    assert isinstance(second, list)
    assert (len(taken), len(second), third) == (RUNS, RUNS, [])
    assert sorted(taken + second) == ids


@pytest.mark.parametrize("first", ["claim", "step"])
def test_a_late_step_and_the_claim_of_its_lapsed_lease(race: Race, jar: str, first: str) -> None:
    # Given runs whose worker was so slow that their lease is over
    ids = start(RUNS, jar=jar)
    (chain,) = chains(claim_all())
    make_due(ids)
    if first == "step":
        # When it is about to commit after all, then a claim passes them by
        slow = race.start(delivery(chain), COMMIT)
        assert race.start(lambda: claimed(lapsed=True)).outcome() == []
        slow.go()
        assert slow.outcome() == ids
    else:
        # When they are being claimed again, then it waits, and performs them all the same: they stand there
        assert race.overtake(lambda: claimed(lapsed=True), delivery(chain)) == (ids, ids)
    for run_id in ids:
        assert effects(run_id) == ["one.forward"]


# -- Pools ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> tuple[str, str]:
    """Two jars, in the order of their keys."""
    first, second = sorted((new_jar(10), new_jar(10)))
    return first, second


def at_the_jars(*wanted: str) -> Chain:
    """A cohort at the step that takes from these jars, a run each."""
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for jar in wanted)
    (chain,) = chains(claim_all())
    assert list(chain.ids) == ids
    return up_to(chain, "three")


def test_two_cohorts_want_the_same_two_jars_in_opposite_order(race: Race, pair: tuple[str, str]) -> None:
    # Given
    a, b = pair
    one, other = at_the_jars(a, b, a), at_the_jars(b, a, b)
    # When both come at once
    first, second = race.overtake(delivery(one), delivery(other))
    # Then one waits for the other, nobody is sent away by a deadlock, and the sums are right
    assert (first, second) == (list(one.ids), list(other.ids))
    assert [counts(jar) for jar in pair] == [(7, 3, 0), (7, 3, 0)]
    for jar in pair:
        assert_jar_adds_up(jar, 10)


@pytest.mark.parametrize("turned", [False, True])
def test_a_cohort_that_waits_for_a_jar_holds_no_later_jar(race: Race, pair: tuple[str, str], turned: bool) -> None:
    # Given somebody who has the first jar
    a, b = pair
    cohort = at_the_jars(b, a) if turned else at_the_jars(a, b)
    person = race.start(lambda: _take(a), Stop("SELECT 1"))
    # When a cohort wants both, in whatever order its runs come, it waits for the first
    waiting = race.start(delivery(cohort))
    race.await_blocked(waiting, person, at="lab_jar")
    # Then it has not taken the second, for which somebody might wait who has the first
    assert race.start(lambda: _take(b, nowait=True)).outcome() == [b]
    person.go()
    assert waiting.outcome() == list(cohort.ids)


def _take(jar: str, *, nowait: bool = False) -> list[str]:
    from django.db import connection, transaction

    with transaction.atomic():
        found = list(Jar.objects.select_for_update(nowait=nowait).filter(name=jar).values_list("name", flat=True))
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    return found


@pytest.mark.parametrize("first", [0, 1])
def test_two_cohorts_want_the_last_piece(race: Race, first: int) -> None:
    jar = new_jar(1)
    cohorts = [at_the_jars(jar), at_the_jars(jar)]
    winner, loser = cohorts[first], cohorts[1 - first]
    assert race.overtake(delivery(winner), delivery(loser), at="lab_jar") == (list(winner.ids), [])
    assert counts(jar) == (0, 1, 0)
    assert state(loser.ids[0]) is State.COMPENSATING
    assert reason(loser.ids[0])["kind"] == "rejected"


def test_an_undo_gives_back_what_another_cohort_wants(race: Race) -> None:
    # Given the last piece, which is being given back
    jar = new_jar(1)
    ids = start(1, jar=jar)
    Carrier().run(ids)
    sagas.cancel(ids[0])
    (undo,) = chains(claim_all())
    undo = up_to(undo, "three")
    wanting = at_the_jars(jar)
    # When somebody wants it, he waits, and has it
    assert race.overtake(delivery(undo), delivery(wanting), at="lab_jar") == (ids, list(wanting.ids))
    assert counts(jar) == (0, 1, 0)
    # And where he comes first, he is told that there is none
    late = at_the_jars(jar)
    assert delivery(late)() == []


@pytest.mark.parametrize("ends", ["confirm", "undo"])
def test_a_hold_ends_behind_a_cohort_that_has_just_taken_of_the_same_jar(race: Race, ends: str) -> None:
    # Given a run that holds a piece, and comes to the end of its hold
    jar = new_jar(2)
    ids = start(1, jar=jar)
    Carrier().run(ids)
    if ends == "confirm":
        sagas.confirm(ids[0], "approval")
    else:
        sagas.cancel(ids[0])
    (chain,) = chains(claim_all())
    ending = up_to(chain, "three")
    wanting = at_the_jars(jar)
    # When it waits for a cohort that takes the other piece
    taken, _ = race.overtake(delivery(wanting), delivery(ending), at="lab_jar")
    # Then it reckons with what that one has left
    assert taken == list(wanting.ids)
    assert counts(jar) == ((0, 1, 1) if ends == "confirm" else (1, 1, 0))
    assert_jar_adds_up(jar, 2)


def test_unrelated_cohorts_do_not_wait_for_each_other(race: Race) -> None:
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(2)]
    (chain,) = chains(claim_all())
    one, other = (Chain(chain.links, (run_id,)) for run_id in sorted(ids))
    slow = race.start(delivery(one), COMMIT)
    assert race.start(delivery(other)).outcome() == [other.ids[0]]
    slow.go()
    assert slow.outcome() == [one.ids[0]]
