"""Branches that are performed at the same time, on the real database, with every message in this test's hand."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import UUID

import pytest

import sagas
from sagas import State
from sagas.admin.present import standing
from sagas.decisions.messages import Chain
from sagas.engine.claiming import claim
from sagas.models import Run
from tests.lab.sagas import Experiment, Forked, Pivoted
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import (
    counts,
    effects,
    escalation,
    make_due,
    marks,
    reason,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")

BRANCHES = ["left", "right", "three"]
FORWARD = {"one": "forward", "left": "forward", "right": "forward", "three": "try", "four": "forward"}
UNDO = {"one": "compensate", "left": "compensate", "right": "compensate", "three": "cancel", "four": "compensate"}


def carried(*ids: UUID, random: Random | None = None, copies: int = 1) -> None:
    Carrier(random=random, copies=copies).run(ids)


def at_the_fork(jar: str, **what: object) -> tuple[UUID, dict[str, Chain]]:
    """A run that stands at the fork, and the chains of its branches."""
    run_id = sagas.start(Forked, Experiment(jar=jar, **what))  # type: ignore[arg-type]  # an Experiment's fields
    (chain,) = chains(claim_all())
    assert [link.step for link in chain.links] == ["one"]
    performed, following = deliver(chain)
    assert following is None
    branches = {chain.links[0].step: chain for chain in chains(performed.messages)}
    assert list(branches) == BRANCHES
    return run_id, branches


def assert_undone(run_id: UUID, jar: str) -> None:
    """What was done was undone, each once, from the last to the first; and nothing else."""
    assert state(run_id) is State.FAILED
    done = effects(run_id)
    assert len(done) == len(set(done)), done
    forward = [step for step in FORWARD if f"{step}.{FORWARD[step]}" in done]
    undone = [effect for effect in done if effect.split(".")[1] in {"compensate", "cancel"}]
    assert undone == [f"{step}.{UNDO[step]}" for step in reversed(forward)]
    assert marks(run_id) == Counter(effect for effect in done if not effect.startswith("three."))
    assert counts(jar) == (1000, 0, 0)


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_run_goes_on_when_all_branches_are_done_in_whatever_order(jar: str, seed: int, copies: int) -> None:
    # Given
    ids = [sagas.start(Forked, Experiment(jar=jar)) for _ in range(3)]

    # When
    carried(*ids, random=Random(seed), copies=copies)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    for run_id in ids:
        sagas.confirm(run_id, "approval", {})
    carried(*ids, random=Random(seed), copies=copies)

    # Then
    assert states(ids) == {State.SUCCEEDED: 3}
    for run_id in ids:
        done = effects(run_id)
        assert done[0] == "one.forward"
        assert sorted(done[1:4]) == ["left.forward", "right.forward", "three.try"]
        assert done[4:] == ["four.forward", "one.confirm", "right.confirm", "three.confirm"]
        assert marks(run_id) == Counter(effect for effect in done if not effect.startswith("three."))
    assert counts(jar) == (997, 0, 3)


def test_each_branch_has_its_own_message_and_the_last_one_joins(jar: str) -> None:
    # Given
    run_id, branches = at_the_fork(jar)

    # When two are done
    for step in ("three", "left"):
        performed, _ = deliver(branches[step])
        # Then nothing follows
        assert (performed.survivors, performed.messages) == ([], [])
        assert state(run_id) is State.EXECUTING

    # And when the last one is done, the next step does
    performed, _ = deliver(branches["right"])
    (following,) = chains(performed.messages)
    assert [link.step for link in following.links] == ["four"]
    assert following.ids == (run_id,)
    # And a worker that died before it could publish that gets the message again
    again, _ = deliver(branches["right"])
    assert chains(again.messages) == [following]


def test_the_admin_names_every_branch_under_way(jar: str) -> None:
    run_id, branches = at_the_fork(jar)
    assert standing(Run.objects.get(pk=run_id), []) == "left forward, right forward, three try"
    deliver(branches["right"])
    assert standing(Run.objects.get(pk=run_id), []) == "left forward, three try"
    carried(run_id)


def test_a_lost_branch_is_found_by_the_lease_and_the_others_are_not_done_twice(jar: str) -> None:
    # Given
    run_id, branches = at_the_fork(jar)
    deliver(branches["left"])

    # When
    make_due([run_id])
    messages = claim_all() + claim_all(lapsed=True)

    # Then
    assert sorted(chain.links[0].step for chain in chains(messages)) == ["right", "three"]
    for chain in chains(messages):
        deliver(chain)
    make_due([run_id])
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM
    assert len(effects(run_id)) == 5


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("step", BRANCHES)
def test_a_rejected_branch_undoes_the_others_and_those_in_flight(jar: str, step: str, first: int) -> None:
    # Given a run of which so many other branches are done, and the rest is on its way
    run_id, branches = at_the_fork(jar, reject=(step,))
    others = [other for other in BRANCHES if other != step]
    for other in others[:first]:
        deliver(branches[other])

    # When one says no, and the others come late
    performed, _ = deliver(branches[step])
    assert len(performed.messages) == 1
    for other in others[first:]:
        late, _ = deliver(branches[other])
        assert (late.survivors, late.messages) == ([], [])
    carried(run_id)

    # Then
    assert_undone(run_id, jar)
    assert reason(run_id)["step"] == step
    # And what comes even later does nothing
    for branch in branches.values():
        deliver(branch)
    assert_undone(run_id, jar)


@pytest.mark.parametrize("seed", range(6))
def test_rejections_and_faults_of_branches_in_any_order_undo_the_run(jar: str, seed: int) -> None:
    random = Random(seed)
    ids = [
        sagas.start(
            Forked,
            Experiment(
                jar=jar,
                reject=(random.choice([*FORWARD, "nobody"]),),
                faults={f"{step}.{FORWARD[step]}": random.choice([0, 1, 2, 9]) for step in random.sample(BRANCHES, 2)},
            ),
        )
        for _ in range(8)
    ]
    carried(*ids, random=random, copies=random.choice([1, 2]))
    for run_id in ids:
        if state(run_id) is State.FAILED:
            done = effects(run_id)
            forward = [step for step in FORWARD if f"{step}.{FORWARD[step]}" in done]
            undone = [effect for effect in done if effect.split(".")[1] in {"compensate", "cancel"}]
            assert undone == [f"{step}.{UNDO[step]}" for step in reversed(forward)], story(run_id)
        else:
            assert state(run_id) is State.AWAITING_CONFIRM, story(run_id)
            assert len(effects(run_id)) == 5
    held = sum(1 for run_id in ids if state(run_id) is State.AWAITING_CONFIRM)
    assert counts(jar) == (1000 - held, held, 0)


def test_each_branch_has_its_own_attempts_and_delays(jar: str) -> None:
    # Given two branches that break: one once, the other more often than it is tried
    run_id, branches = at_the_fork(jar, faults={"left.forward": 1, "three.try": 2})

    # When both have failed once
    deliver(branches["left"])
    deliver(branches["three"])

    # Then a copy that comes before its time performs nothing
    before = story(run_id)
    Run.objects.filter(pk=run_id).update(pending=far_away(run_id))
    deliver(branches["three"])
    assert story(run_id) == before
    # And the third branch is not held up
    deliver(branches["right"])
    assert story(run_id)[-1] == "right.forward DONE"
    # And each is tried as often as it says
    Run.objects.filter(pk=run_id).update(pending=far_away(run_id, until=0))
    make_due([run_id])
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM
    assert story(run_id).count("left.forward FAULT") == 1
    assert story(run_id).count("three.try FAULT") == 2
    assert Run.objects.get(pk=run_id).pending is None


def far_away(run_id: UUID, until: float = 4e9) -> dict[str, object]:
    """The waits of a run, over at another time."""
    pending = Run.objects.values_list("pending", flat=True).get(pk=run_id)
    assert pending is not None
    return {step: {**wait, "until": until} for step, wait in pending.items()}


def test_a_branch_out_of_attempts_undoes_the_run(jar: str) -> None:
    run_id, branches = at_the_fork(jar, faults={"right.forward": 9})
    for branch in branches.values():
        deliver(branch)
    carried(run_id)
    assert_undone(run_id, jar)
    assert (reason(run_id)["kind"], reason(run_id)["step"]) == ("fault", "right")


def test_a_cancel_during_a_fork_undoes_the_finished_branches(jar: str) -> None:
    run_id, branches = at_the_fork(jar)
    deliver(branches["left"])
    deliver(branches["three"])
    sagas.cancel(run_id)
    deliver(branches["right"])
    carried(run_id)
    assert_undone(run_id, jar)
    assert "right.forward" not in effects(run_id)


def test_each_run_of_a_cohort_joins_when_its_own_branches_are_done(jar: str) -> None:
    # Given two runs in one cohort, of which one has one branch done already
    ids = sorted(sagas.start(Forked, Experiment(jar=jar)) for _ in range(2))
    (chain,) = chains(claim_all())
    performed, _ = deliver(chain)
    branches = {chain.links[0].step: chain for chain in chains(performed.messages)}
    ahead = Chain(branches["left"].links, (ids[0],))
    deliver(ahead)
    deliver(branches["right"])

    # When the third branch of both is done
    performed, _ = deliver(branches["three"])

    # Then only the one goes on
    (following,) = chains(performed.messages)
    assert following.ids == (ids[0],)
    performed, _ = deliver(branches["left"])
    assert (ids[1],) in [chain.ids for chain in chains(performed.messages)]
    carried(*ids)


def test_branches_after_the_pivot_only_go_forward(jar: str) -> None:
    # Given
    run_id = sagas.start(Pivoted, Experiment(jar=jar, faults={"left.forward": 1}, reject=("right",)))
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM
    assert effects(run_id) == ["one.forward", "three.try"]
    sagas.confirm(run_id, "approval", {})

    # When one of them says no, for ever
    carried(run_id)

    # Then a person is called, and nothing is undone
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).step == "right"
    assert "two.forward" in effects(run_id)
    assert not any(effect.endswith(("compensate", "cancel")) for effect in effects(run_id))
    # And when it is mended, the run succeeds
    Run.objects.filter(pk=run_id).update(request={"jar": jar})
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id)[2] == "three.confirm"
    assert sorted(effects(run_id)[3:]) == ["left.forward", "right.forward", "two.forward"]
    assert counts(jar) == (999, 0, 1)


def test_a_claim_takes_up_all_branches_of_many_runs(jar: str) -> None:
    ids = [sagas.start(Forked, Experiment(jar=jar)) for _ in range(5)]
    for chain in chains(claim_all()):
        deliver(chain)
    make_due(ids)
    found = chains(claim(lapsed=True).messages) + chains(claim().messages)
    assert sorted((chain.links[0].step, len(chain.ids)) for chain in found) == [(b, 5) for b in sorted(BRANCHES)]
    for chain in found:
        deliver(chain)
    make_due(ids)
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 5}
