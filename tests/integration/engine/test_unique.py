"""A start that is given twice starts one run."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

import sagas
from sagas import State
from sagas.errors import InvalidArgument, RunExists
from sagas.models import Run
from tests.lab.sagas import Compressed, Experiment, Keyed, Lab
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def key() -> str:
    return f"order-{uuid4().hex[:8]}"


def start(key: str, unique: sagas.definition.saga.Unique | None = "reject", **experiment: Any) -> UUID:
    return Lab.start(Experiment(**experiment), business_key=key, unique=unique)


def test_a_second_start_is_rejected_and_names_the_run(key: str) -> None:
    first = start(key)
    with pytest.raises(RunExists, match=f"{first}.*{key}") as raised:
        start(key)
    assert raised.value.run_id == first
    assert Run.objects.filter(business_key=key).count() == 1


def test_a_second_start_attaches_to_the_run(key: str) -> None:
    first = start(key, "attach")
    assert start(key, "attach") == first
    assert Run.objects.filter(business_key=key).count() == 1


def test_the_callers_transaction_goes_on_after_a_rejection(key: str) -> None:
    start(key)
    with transaction.atomic():
        with pytest.raises(RunExists):
            start(key)
        other = start(f"{key}-b")
    assert state(other) is State.PENDING


def test_a_run_that_has_succeeded_or_waits_for_a_person_is_kept(key: str) -> None:
    first = start(key)
    carrier = Carrier()
    carrier.run([first])
    sagas.confirm(first, "approval")
    carrier.run([first])
    assert state(first) is State.SUCCEEDED
    assert start(key, "attach") == first
    # Given one that a person must see to
    stuck = start(f"{key}-b", faults={"one.compensate": 99}, reject=("four",))
    carrier.run([stuck])
    assert state(stuck) is State.ESCALATED
    with pytest.raises(RunExists):
        start(f"{key}-b")


def test_the_key_of_an_undone_run_may_be_started_again(key: str) -> None:
    first = start(key, reject=("two",))
    Carrier().run([first])
    assert state(first) is State.FAILED
    again = start(key)
    assert again != first
    # The newer one counts from now on
    assert start(key, "attach") == again


def test_a_run_that_is_being_undone_is_kept_until_it_is_undone(key: str) -> None:
    first = start(key)
    sagas.cancel(first)
    assert state(first) is State.COMPENSATING
    assert start(key, "attach") == first


def test_keys_of_other_sagas_and_other_keys_are_free(key: str) -> None:
    first = start(key)
    assert Compressed.start(Experiment(), business_key=key, unique="reject") != first
    assert start(key.upper()) != first


def test_a_saga_that_locks_business_keys_may_be_started_once(key: str) -> None:
    def once() -> UUID:
        return Keyed.start(Experiment(keys=(key,)), business_key=key, unique="attach")

    assert once() == once()


def test_a_start_that_was_rolled_back_leaves_the_key_free(key: str) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        start(key)
        1 / 0  # noqa: B018 - what breaks the caller's transaction
    assert state(start(key)) is State.PENDING


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"unique": "both", "business_key": "k"}, "one of 'reject', 'attach', not 'both'"),
        ({"unique": True, "business_key": "k"}, "not True"),
        ({"unique": ["reject"], "business_key": "k"}, "not"),
        ({"unique": "reject"}, "needs a business key"),
        ({"unique": "reject", "business_key": "k", "run_id": uuid4()}, "without a run id"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: dict[str, Any], why: str) -> None:
    before = Run.objects.count()
    with pytest.raises(InvalidArgument, match=why):
        sagas.start(Lab, Experiment(), **arguments)
    assert Run.objects.count() == before


def test_a_transaction_that_cannot_see_the_other_run_is_refused(key: str) -> None:
    with pytest.raises(InvalidArgument, match="repeatable read"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        start(key)
    assert not Run.objects.filter(business_key=key).exists()
