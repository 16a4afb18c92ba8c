"""A few runs at which no screen would stop are claimed by one statement; the screens look at all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import State, runtime, store
from sagas.decisions.breaker_policy import Window
from sagas.decisions.messages import Message
from sagas.engine.claiming import claim
from sagas.models import Run
from tests.lab.sagas import Closing, Experiment, Lab
from tests.support.carrier import chains, claim_all, deliver_all
from tests.support.runs import make_due, state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _knows_nothing(alone: None) -> Iterator[None]:
    connection.close()
    runtime.reset()
    yield
    connection.close()
    runtime.reset()


def pending(**experiment: Any) -> UUID:
    return sagas.start(Lab, Experiment(**experiment))


def confirming() -> UUID:
    run_id = pending()
    deliver_all(chains(claim_all())[0])
    sagas.confirm(run_id, "approval", {})
    return run_id


def cancelled() -> UUID:
    run_id = pending()
    deliver_all(chains(claim_all())[0])
    sagas.cancel(run_id)
    return run_id


def claimed() -> tuple[list[Message], int]:
    """What a claim gives, and how many statements write or lock for it."""
    with CaptureQueriesContext(connection) as context:
        messages = claim().messages
    return messages, sum(not query["sql"].startswith("PREPARE") and query["sql"] not in _ENDS for query in context)


_ENDS = ("BEGIN", "COMMIT")


def told(messages: list[Message], *ids: UUID) -> str:
    """The messages, with numbers in place of the runs' ids."""
    text = repr(messages)
    for number, run_id in enumerate(ids):
        text = text.replace(repr(run_id), f"run {number}")
    return text


def written(run_id: UUID) -> dict[str, Any]:
    """What a claim has written, without the moments."""
    run = Run.objects.get(pk=run_id)
    lease = run.due_at - run.started_at if run.due_at and run.started_at else None
    return {
        "state": run.state,
        "claims": run.claims,
        "is leased": lease is not None and lease.total_seconds() > 5,
        "has a deadline": run.deadline is not None,
    }


@pytest.mark.parametrize("made", [pending, confirming, cancelled])
def test_a_kind_that_was_claimed_before_costs_one_statement_and_leaves_the_same(made: Callable[[], UUID]) -> None:
    # Given a run that the screens have let pass
    first = made()
    runtime.reset()
    before, statements = claimed()
    assert statements > 1
    # When another of its kind is claimed
    second = made()
    after, statements = claimed()
    # Then that is one statement, with the same messages, and it leaves the same
    assert statements == 1
    assert told(after, second) == told(before, first)
    assert written(second) == written(first)


def test_nothing_is_claimed_by_one_statement_where_nothing_is_due() -> None:
    pending()
    claim_all()
    assert claimed() == ([], 1)


def test_several_kinds_go_out_apart() -> None:
    # Given kinds that are known
    confirming()
    claim_all()
    # When one of each is due
    paid, new = confirming(), pending()
    messages, statements = claimed()
    # Then
    assert statements == 1
    assert sorted(chain.ids for chain in chains(messages)) == sorted([(paid,), (new,)])
    assert [state(paid), state(new)] == [State.CONFIRMING, State.EXECUTING]


def has_failed(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(attempt=1)


def is_locked(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(locked=True)


def waits(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(pending={"one": {"until": 1, "failed": 0, "operation": "", "begun": False}})


def is_of_another_version(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(version=77)


def meets_an_open_breaker(_: UUID) -> None:
    store.breakers.open_breaker("Lab.two", step="two", seen=Window(5, 5))


@pytest.mark.parametrize("makes_special", [has_failed, is_locked, waits, is_of_another_version, meets_an_open_breaker])
def test_one_that_needs_a_look_has_the_screens_look_at_all(makes_special: Callable[[UUID], None]) -> None:
    # Given kinds that are known
    pending()
    claim_all()
    # When one of them has something about it, and another has not
    special, plain = pending(), pending()
    makes_special(special)
    assert store.claims.lease_few(runtime.memory.plain, begin=True) is None
    # Then nothing was written, and the claim finds both
    assert {Run.objects.get(pk=each).claims for each in (special, plain)} == {0}
    claim()
    assert Run.objects.get(pk=plain).claims == 1


def test_a_confirmed_run_that_has_never_begun_needs_a_look() -> None:
    confirming()
    claim_all()
    # Given one whose steps were done by a message that the broker had refused, as far as was known
    run_id = confirming()
    Run.objects.filter(pk=run_id).update(started_at=None)
    assert store.claims.lease_few(runtime.memory.plain, begin=True) is None
    (chain,) = chains(claim().messages)
    assert chain.ids == (run_id,)


def test_many_are_claimed_together() -> None:
    pending()
    claim_all()
    ids = [pending() for _ in range(store.claims.FEW)]
    assert store.claims.lease_few(runtime.memory.plain, begin=True) is None
    (chain,) = chains(claim().messages)
    assert list(chain.ids) == sorted(ids)


def test_new_runs_wait_where_none_may_begin() -> None:
    confirming()
    claim_all()
    paid, new = confirming(), pending()
    (chain,) = chains(claim(begin=False).messages)
    assert chain.ids == (paid,)
    assert state(new) is State.PENDING


def test_a_deadline_that_depends_on_the_request_is_computed() -> None:
    for _ in range(2):
        run_id = sagas.start(Closing, Experiment())
        claim_all()
        assert Run.objects.get(pk=run_id).deadline is not None


def test_a_run_whose_lease_has_lapsed_is_not_taken() -> None:
    run_id = pending()
    claim_all()
    make_due([run_id])
    assert Run.objects.get(pk=run_id).claims == 1
    assert claimed()[0] == []
    assert [chain.interruptions for chain in chains(claim(lapsed=True).messages)] == [1]
