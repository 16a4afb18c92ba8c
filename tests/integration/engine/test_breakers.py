"""Breakers on a real PostgreSQL: what opens them, who is held, who is the probe; and once on real workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

import sagas
from sagas import State, runtime, store
from sagas.decisions.breaker_policy import Window
from sagas.decisions.messages import Chain
from sagas.engine import breakers
from sagas.models import Breaker, BreakerSample, Run
from tests.integration.conftest import Start
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver_all
from tests.support.runs import (
    assert_jar_adds_up,
    await_states,
    effects,
    escalation,
    make_due,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")

ONE = "lab.Lab.one"


def confirmed(experiment: Experiment | None = None, count: int = 1) -> list[UUID]:
    """Runs whose confirms are due now."""
    ids = [sagas.start(Lab, experiment or Experiment()) for _ in range(count)]
    Carrier().run(ids)
    for run_id in ids:
        sagas.confirm(run_id, "approval", {})
    assert set(states(ids)) == {State.CONFIRMING}
    return ids


def deliver_due() -> list[Chain]:
    """Claim once, and perform what was claimed."""
    claimed = chains(claim_all())
    for chain in claimed:
        deliver_all(chain)
    return claimed


def retry(run_id: UUID) -> None:
    """Let a run wait for its retry no longer, and perform what is due."""
    make_due([run_id])
    deliver_due()


def troubled(participant: str = ONE) -> None:
    """Three minutes in which one retried operation of five failed."""
    for age in (30, 90, 150):
        BreakerSample.objects.create(
            participant=participant, at=timezone.now() - timedelta(seconds=age), succeeded=4, failed=1
        )


def opened(participant: str = ONE) -> None:
    """A breaker that has just opened."""
    store.breakers.open_breaker(participant, step=participant.rpartition(".")[2], seen=Window(10, 8))


def pause_is_over(ids: Sequence[UUID] = ()) -> None:
    Breaker.objects.update(probe_at=F("probe_at") - timedelta(minutes=1))
    make_due(ids)


def is_open(participant: str = ONE) -> bool:
    return Breaker.objects.filter(participant=participant, closed_at=None).exists()


# -- What it costs --------------------------------------------------------------------------------------------


def test_an_operation_that_succeeds_at_once_needs_no_statement() -> None:
    (run_id,) = confirmed()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    about = [query["sql"] for query in asked if "breaker" in query["sql"]]
    # The claim asks along with its own question.
    assert all("FOR NO KEY UPDATE SKIP LOCKED" in sql for sql in about)
    assert not BreakerSample.objects.exists()


def test_only_retried_confirms_and_undos_are_counted() -> None:
    # Given a forward step that breaks twice, a confirm that breaks once, and one that breaks twice
    forward = sagas.start(Lab, Experiment(faults={"one.forward": 2}))
    Carrier().run([forward])
    once, twice = *confirmed(Experiment(faults={"one.confirm": 1})), *confirmed(Experiment(faults={"one.confirm": 2}))
    Carrier().run([once, twice])
    # Then its second attempts: one succeeded; one failed, and a third succeeded
    counted = [(s.participant, s.succeeded, s.failed) for s in BreakerSample.objects.order_by("id")]
    assert {participant for participant, _, _ in counted} == {ONE}
    assert (sum(s for _, s, _ in counted), sum(f for _, _, f in counted)) == (2, 1)
    # And an undo's are counted alike
    undone = sagas.start(Lab, Experiment(reject=("four",), faults={"two.compensate": 2}))
    Carrier().run([undone])
    assert BreakerSample.objects.filter(participant="lab.Lab.two", failed=1).count() == 1


# -- What opens it --------------------------------------------------------------------------------------------


def test_failing_windows_open_a_breaker_and_its_runs_escalate_at_once() -> None:
    # Given a run whose confirm has broken once, in troubled times, and one that has broken as well
    troubled()
    first, second = confirmed(Experiment(faults={"one.confirm": 9}), count=2)
    deliver_due()
    assert states([first, second]) == {State.CONFIRMING: 2}
    assert not is_open()
    Run.objects.filter(pk=second).update(due_at=timezone.now() + timedelta(hours=1))

    # When the one breaks again: its second attempt of three
    retry(first)

    # Then the breaker opens, and the run escalates
    assert is_open()
    found = escalation(first)
    assert (found.error["kind"], found.error["code"]) == ("breaker", "Boom")
    assert "its breaker is open" in found.suggestion
    assert story(first).count("one.confirm FAULT") == 2
    # And so does the other, which is not even called
    retry(second)
    found = escalation(second)
    assert (found.step, found.operation, found.error["code"]) == ("one", "confirm", "BreakerOpen")
    assert "retried operations of lab.Lab.one failed" in found.error["detail"]
    assert story(second).count("one.confirm FAULT") == 1


def test_one_failing_run_does_not_open_a_breaker() -> None:
    (run_id,) = confirmed(Experiment(faults={"one.confirm": 9}))
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["kind"] == "fault"
    assert not Breaker.objects.exists()


def test_a_breaker_without_windows_is_off(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "BREAKER_WINDOWS": 0}
    troubled()
    (run_id,) = confirmed(Experiment(faults={"one.confirm": 1}))
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert BreakerSample.objects.count() == 3


def test_a_first_attempt_that_fails_at_an_open_breaker_escalates_too() -> None:
    (run_id,) = confirmed(Experiment(faults={"one.confirm": 9}))
    # Given a chain that was on its way when the breaker opened
    (chain,) = chains(claim_all())
    opened()
    deliver_all(chain)
    assert escalation(run_id).error["kind"] == "breaker"
    # And a fault of another participant is tried again, until the run comes to this one
    other = sagas.start(Lab, Experiment(reject=("four",), faults={"two.compensate": 1}))
    Carrier().run([other])
    assert effects(other)[-1] == "two.compensate"
    assert state(other) is State.COMPENSATING


# -- Who waits, and who is the probe --------------------------------------------------------------------------


def test_a_run_that_reaches_an_open_breaker_waits_without_an_escalation() -> None:
    opened()
    ids = confirmed(count=3)
    for _ in range(3):
        assert deliver_due() == []
        make_due(ids)
    assert states(ids) == {State.CONFIRMING: 3}
    assert list(Run.objects.filter(pk__in=ids).values_list("claims", "attempt")) == [(0, 0)] * 3
    claim_all()
    assert Run.objects.filter(pk__in=ids, due_at__gt=timezone.now() + timedelta(seconds=20)).count() == 3
    # And those who have nothing to do with it go their way
    other = sagas.start(Unconfirmed, Experiment())
    Carrier().run([other])
    assert state(other) is State.SUCCEEDED


def test_after_a_pause_one_run_is_let_through_and_its_success_releases_the_others() -> None:
    # Given
    opened()
    ids = confirmed(count=3)
    deliver_due()

    # When
    pause_is_over(ids)
    (chain,) = chains(claim_all())

    # Then one goes, though the others are due again and again
    assert len(chain.ids) == 1
    make_due([run_id for run_id in ids if run_id not in chain.ids])
    assert chains(claim_all()) == []
    # When it succeeds, then the next who comes closes the breaker, and all go
    deliver_all(chain)
    assert effects(chain.ids[0])[-1] == "three.confirm"
    make_due(ids)
    Carrier().run(ids)
    assert not is_open()
    assert states(ids) == {State.SUCCEEDED: 3}


def test_a_failing_probe_escalates_and_the_next_probe_follows_after_another_pause() -> None:
    opened()
    ids = confirmed(Experiment(faults={"one.confirm": 1}), count=2)
    pause_is_over(ids)
    (chain,) = deliver_due()
    (probe,) = chain.ids
    (other,) = set(ids) - {probe}
    assert escalation(probe).error["kind"] == "breaker"
    make_due(ids)
    assert deliver_due() == []
    pause_is_over(ids)
    (chain,) = deliver_due()
    assert chain.ids == (other,)
    assert is_open()


def test_only_one_of_two_dispatchers_gets_the_probe() -> None:
    opened()
    pause_is_over()
    with transaction.atomic():
        assert store.breakers.take_probe(ONE, uuid4(), "confirm")
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM sagas_breaker WHERE closed_at IS NULL AND probe_at <= clock_timestamp() "
                    "FOR NO KEY UPDATE SKIP LOCKED"
                )
                assert cursor.fetchall() == []
        finally:
            other.close()
        assert not store.breakers.take_probe(ONE, uuid4(), "confirm")


def test_a_chain_ends_before_an_open_breaker() -> None:
    opened("lab.Lab.three")
    (run_id,) = confirmed()
    (chain,) = deliver_due()
    assert [link.step for link in chain.links] == ["one"]
    assert effects(run_id)[-1] == "one.confirm"
    make_due([run_id])
    assert deliver_due() == []
    assert state(run_id) is State.CONFIRMING


def test_a_resumed_run_waits_for_a_probe_like_other_runs() -> None:
    opened()
    (run_id,) = confirmed(Experiment(faults={"one.confirm": 1}))
    pause_is_over()
    deliver_due()
    assert state(run_id) is State.ESCALATED
    sagas.resume(run_id, by="mei", note="mended")
    assert deliver_due() == []
    assert state(run_id) is State.CONFIRMING


def test_samples_from_before_a_breaker_closed_do_not_count() -> None:
    troubled()
    opened()
    assert store.breakers.close_breaker(ONE)
    assert not store.breakers.close_breaker(ONE)
    (run_id,) = confirmed(Experiment(faults={"one.confirm": 2}))
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert not is_open()


def test_old_samples_are_deleted() -> None:
    troubled()
    BreakerSample.objects.create(participant=ONE, at=timezone.now() - timedelta(minutes=5), succeeded=0, failed=1)
    runtime.reset()
    breakers.prune_samples()
    breakers.prune_samples()
    assert BreakerSample.objects.count() == 3


# -- Real workers ---------------------------------------------------------------------------------------------


def test_a_breaker_opens_for_a_failing_pool_and_closes_when_the_pool_is_repaired(start_worker: Start) -> None:
    # Given workers, runs that hold something, and a pool that refuses each confirm: its count would fall below 0
    worker = start_worker(
        concurrency=2,
        BREAKER_WINDOW=0.4,
        BREAKER_WINDOWS=2,
        BREAKER_MINIMUM=2,
        BREAKER_PROBE=0.5,
        TICK=0.2,
        LEASE=1,
    )
    name = f"jar-{uuid4().hex[:8]}"
    jar = Jar.objects.create(name=name, available=100)
    ids = [sagas.start(Lab, Experiment(jar=name)) for _ in range(60)]
    await_states(ids, State.AWAITING_CONFIRM)
    Jar.objects.filter(pk=name).update(held=0)

    # When they are confirmed, some at a time, then the breaker opens
    waiting = list(ids)

    def confirm_two() -> bool:
        for _ in range(2 if len(waiting) > 6 else 0):
            sagas.confirm(waiting.pop(), "approval", {})
        return is_open("lab.Lab.three")

    eventually(confirm_two, what="the breaker opens")
    worker.await_text("the breaker of lab.Lab.three opens")
    # And whoever breaks there escalates at once
    eventually(
        lambda: Run.objects.filter(escalations__error__kind="breaker", state="ESCALATED").exists(), what="escalated"
    )

    # When it is mended, and the rest is confirmed
    held = JarHold.objects.filter(pool_key=name, state="HELD").count()
    Jar.objects.filter(pk=name).update(held=held)
    for run_id in waiting:
        sagas.confirm(run_id, "approval", {})

    # Then a probe closes the breaker, and all go on: those that are escalated when a person resumes them
    await_states(waiting, State.SUCCEEDED)
    assert not is_open("lab.Lab.three")
    worker.await_text("the breaker of lab.Lab.three closes")
    await_states(ids, State.SUCCEEDED, State.ESCALATED)
    for run_id in Run.objects.filter(pk__in=ids, state="ESCALATED").values_list("pk", flat=True):
        sagas.resume(run_id, by="mei", note="mended the jar")
    assert await_states(ids, State.SUCCEEDED) == {State.SUCCEEDED: 60}
    jar.refresh_from_db()
    assert (jar.available, jar.held, jar.sold) == (40, 0, 60)
    assert_jar_adds_up(name, 100)
