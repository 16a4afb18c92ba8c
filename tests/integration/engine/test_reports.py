"""Operations that are accepted now and reported later, on the real database."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import UUID, uuid4

import pytest

import sagas
from sagas import Done, Rejected, State
from sagas.decisions.messages import Chain
from sagas.engine.claiming import claim
from sagas.errors import DataTooLarge, NotAwaited, RunNotFound, UnknownStep
from sagas.models import Run
from tests.lab.sagas import Experiment, Lab, Reported
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import counts, effects, let_time_pass, make_due, marks, reason, state, story

pytestmark = pytest.mark.usefixtures("alone", "jar")
#: What is in the jar.
JAR = 10


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def accepted(jar: str, **what: object) -> UUID:
    """A run that waits for a report of its second step."""
    run_id = sagas.start(Reported, Experiment(jar=jar, **what))  # type: ignore[arg-type]  # an Experiment's fields
    carried(run_id)
    assert story(run_id) == ["start", "one.forward DONE", "two.forward ACCEPTED"]
    return run_id


def test_a_run_goes_on_when_its_step_is_reported(jar: str) -> None:
    # Given
    run_id = accepted(jar)

    # When
    assert sagas.report(run_id, "two", Done({"ref": 7}), by="courier") is State.EXECUTING
    carried(run_id)

    # Then
    assert "two.forward DONE" in story(run_id)
    assert Run.objects.get(pk=run_id).results["two"] == {"ref": 7}
    assert "three.try DONE" in story(run_id)
    assert "left.forward ACCEPTED" in story(run_id)
    # And it waits in the fork for the other
    sagas.report(run_id, "left", Done())
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id)[-1] == "three.confirm"
    assert counts(jar) == (9, 0, 1)


def test_the_first_report_counts(jar: str) -> None:
    run_id = accepted(jar)
    sagas.report(run_id, "two", Done(1))
    before = story(run_id)
    sagas.report(run_id, "two", Done(2))
    sagas.report(run_id, "two", Rejected("no"))
    assert story(run_id) == before
    assert Run.objects.get(pk=run_id).results["two"] == 1
    carried(run_id)
    sagas.report(run_id, "two", Rejected("no"))
    assert state(run_id) is State.EXECUTING


def test_while_a_run_waits_no_message_performs_its_step_again(jar: str) -> None:
    # Given a run that waits, and a copy of the message
    run_id = sagas.start(Reported, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    _, following = deliver(chain)
    assert following is not None
    deliver(following)
    before = story(run_id)

    # When it comes again; and when the run is claimed before its time
    performed, _ = deliver(following)
    make_due([run_id])
    claimed = claim()

    # Then nothing happens, and the run is left alone until then
    assert (performed.survivors, performed.messages) == ([], [])
    assert chains(claimed.messages) == []
    assert claim().count == claim(lapsed=True).count == 0
    assert story(run_id) == before


def test_a_reported_rejection_undoes_the_step_itself_too(jar: str) -> None:
    run_id = accepted(jar)
    assert sagas.report(run_id, "two", Rejected("no courier", code="NoCourier")) is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]
    assert (reason(run_id)["code"], reason(run_id)["detail"]) == ("NoCourier", "no courier")


def test_a_step_without_a_report_is_retried_and_then_undone(jar: str) -> None:
    # Given
    run_id = accepted(jar)

    # When nobody reports, at any attempt
    for _ in range(6):
        let_time_pass(run_id)
        carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert story(run_id).count("two.forward ACCEPTED") == 3
    assert story(run_id).count("two.forward FAULT") == 3
    assert reason(run_id)["code"] == "NoReport"
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]
    # And a report that comes now changes nothing
    sagas.report(run_id, "two", Done())
    assert state(run_id) is State.FAILED


def test_a_report_after_the_next_attempt_has_begun_counts(jar: str) -> None:
    run_id = accepted(jar)
    let_time_pass(run_id)
    carried(run_id)
    assert story(run_id).count("two.forward ACCEPTED") == 2
    sagas.report(run_id, "two", Done())
    assert story(run_id).count("two.forward DONE") == 1


def test_an_undo_waits_for_an_operation_under_way(jar: str) -> None:
    # Given a run that is cancelled while its step is under way
    run_id = accepted(jar)
    sagas.cancel(run_id)

    # Then nothing is undone yet
    carried(run_id)
    assert state(run_id) is State.COMPENSATING
    assert effects(run_id) == ["one.forward"]

    # And when it is reported, that is on record, and undone
    assert sagas.report(run_id, "two", Done()) is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "two.forward", "two.compensate", "one.compensate"]


def test_an_undo_does_not_wait_for_ever(jar: str) -> None:
    run_id = accepted(jar)
    sagas.cancel(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "two.compensate", "one.compensate"]


@pytest.mark.parametrize("seed", range(3))
def test_an_undo_may_be_reported_as_well(jar: str, seed: int) -> None:
    # Given a run of which the last step says no, and an undo that is accepted
    run_id = sagas.start(Reported, Experiment(jar=jar, reject=("four",)))
    for step in ("two", "left"):
        Carrier(random=Random(seed), copies=2).run([run_id])
        sagas.report(run_id, step, Done())
    Carrier(random=Random(seed), copies=2).run([run_id])
    assert state(run_id) is State.COMPENSATING
    assert story(run_id)[-1] == "left.compensate ACCEPTED"

    # When
    sagas.report(run_id, "left", Done(), operation="compensate")
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert effects(run_id)[-3:] == ["left.compensate", "two.compensate", "one.compensate"]
    assert marks(run_id)["left.compensate"] == 1
    assert counts(jar) == (10, 0, 0)


def test_a_report_of_an_unknown_run_or_step_is_refused(jar: str) -> None:
    with pytest.raises(RunNotFound):
        sagas.report(uuid4(), "two", Done())
    run_id = accepted(jar)
    with pytest.raises(UnknownStep):
        sagas.report(run_id, "nothing", Done())
    with pytest.raises(NotAwaited, match=r"four of .* has not been begun"):
        sagas.report(run_id, "four", Done())
    with pytest.raises(TypeError):
        sagas.report(run_id, "two", Done(object()))
    other = sagas.start(Lab, Experiment(jar=jar))
    carried(other)
    with pytest.raises(NotAwaited):
        sagas.report(other, "two", Rejected("no"))
    assert state(other) is State.AWAITING_CONFIRM


def test_one_of_a_cohort_is_reported_and_the_others_wait(jar: str) -> None:
    ids = [sagas.start(Reported, Experiment(jar=jar)) for _ in range(4)]
    carried(*ids)
    sagas.report(ids[2], "two", Done())
    carried(*ids)
    assert Counter(story(run_id)[-1] for run_id in ids)["two.forward ACCEPTED"] == 3
    messages = [message for message in claim_all() if isinstance(message, Chain)]
    assert messages == []


def test_a_report_that_is_too_large_is_refused_and_a_smaller_one_may_follow(jar: str) -> None:
    run_id = accepted(jar)
    with pytest.raises(DataTooLarge, match=r"the result of two is 65,5\d\d bytes"):
        sagas.report(run_id, "two", Done({"text": "x" * 65_536}))
    assert story(run_id)[-1] == "two.forward ACCEPTED"
    sagas.report(run_id, "two", Done({"text": "x"}))
    assert story(run_id)[-1] == "two.forward DONE"
