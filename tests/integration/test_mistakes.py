"""The usual mistakes of participants are found, each in a saga that has just that one; and none where there is none."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orders.sagas import PlaceOrder
from sagas.participant import Many, Participant
from sagas.testing import Mistake, Usual, assert_no_usual_mistakes, assert_saga_unwinds, find_mistakes
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Lab
from tests.support import mistaken
from tests.support.mistaken import give_back, hold, hold_all
from tests.support.unwinding import place

pytestmark = pytest.mark.django_db


def an_experiment() -> Experiment:
    """Of a jar of its own."""
    return Experiment(jar=Jar.objects.create(name=f"jar-{uuid4().hex[:8]}", available=10).name)


def found(do: Participant, compensate: Participant = give_back) -> list[Mistake]:
    with mistaken.saga(do, compensate) as saga:
        return find_mistakes(saga, an_experiment)


def named(value: object) -> str:
    """The participant, for the test's id; what is expected of it need not be there."""
    if isinstance(value, str):
        return "-"
    target = value.function if isinstance(value, Many) else value
    return str(getattr(target, "__name__", type(value).__name__))


@pytest.mark.parametrize(
    ("do", "usual", "seen"),
    [
        (mistaken.mail, Usual.OUTSIDE, "it sends mail"),
        (mistaken.speak, Usual.OUTSIDE, "it speaks to another system over a socket, from mistaken.py:"),
        (mistaken.connect, Usual.OUTSIDE, "it opens a connection of its own to the database 'default'"),
        (mistaken.commit, Usual.COMMITS, "Django refuses: "),
        (mistaken.be_durable, Usual.COMMITS, "Django refuses: "),
        (mistaken.commit_in_sql, Usual.COMMITS, "it executes COMMIT; BEGIN"),
        (mistaken.commit_behind_djangos_back, Usual.COMMITS, "it calls commit() of the driver's connection, from mist"),
        (mistaken.read_the_clock, Usual.CLOCK, "it asks now() at mistaken.py:"),
        (mistaken.read_djangos_clock, Usual.CLOCK, "it asks now() at mistaken.py:"),
        (mistaken.hold_again, Usual.NOT_KEYED, "called a second time it leaves something else: lab_jar has not: "),
        (mistaken.hold_in_disorder, Usual.MANY_DISAGREES, "called for one after the other it answers Done("),
        (mistaken.hold_the_first, Usual.MANY_DISAGREES, "called for one after the other it leaves something else: "),
        (mistaken.InTwoForms(), Usual.MANY_DISAGREES, "called in its one-call form it leaves something else: "),
    ],
    ids=named,
)
def test_a_forward_operation_with_a_mistake(do: Participant, usual: Usual, seen: str) -> None:
    (mistake,) = found(do)
    assert (mistake.step, mistake.operation, mistake.usual) == ("hold", "forward", usual)
    assert mistake.seen.startswith(seen)


@pytest.mark.parametrize(
    ("compensate", "usual", "seen"),
    [
        (mistaken.give_back_by_id, Usual.BY_RETURNED_ID, "without what hold has returned it raises KeyError"),
        (mistaken.give_back_by_id_if_any, Usual.BY_RETURNED_ID, "without what hold has returned it leaves something"),
        (mistaken.give_back_again, Usual.NOT_IDEMPOTENT, "called a second time it leaves something else: lab_jar has"),
        (mistaken.give_back_once, Usual.NOT_IDEMPOTENT, "called a second time it raises DoesNotExist"),
    ],
    ids=named,
)
def test_an_undo_with_a_mistake(compensate: Participant, usual: Usual, seen: str) -> None:
    (mistake,) = found(hold, compensate)
    assert (mistake.step, mistake.operation, mistake.usual) == ("hold", "compensate", usual)
    assert mistake.seen.startswith(seen)


@pytest.mark.django_db(databases=["default", "loyalty"])
def test_one_that_writes_in_another_database(loyalty_database: None) -> None:
    (mistake,) = found(mistaken.write_elsewhere)
    assert mistake.usual is Usual.OUTSIDE
    assert mistake.seen.startswith("it writes in the database 'loyalty': INSERT INTO")


def test_a_confirm_is_watched_too() -> None:
    with mistaken.saga(hold, give_back, mistaken.mail) as saga:
        (mistake,) = find_mistakes(saga, an_experiment)
    assert (mistake.operation, mistake.usual) == ("confirm", Usual.OUTSIDE)


@pytest.mark.parametrize("do", [hold, hold_all, mistaken.hold_and_log], ids=["one-call", "set-based", "and-logs"])
def test_participants_without_a_mistake(do: Participant) -> None:
    assert found(do) == []


def test_the_orders_participants_make_none() -> None:
    assert_no_usual_mistakes(PlaceOrder, place)


def test_nothing_is_left_behind() -> None:
    before = holds_and_jars()
    found(hold)
    assert holds_and_jars() == before


def holds_and_jars() -> tuple[set[object], ...]:
    """All there are: other tests leave theirs."""
    return set(JarHold.objects.values_list()), set(Jar.objects.values_list())


def test_the_laboratorys_marks_are_doubled_on_purpose() -> None:
    found = find_mistakes(Lab, an_experiment)
    assert {(one.participant, one.usual) for one in found} == {
        (f"tests.lab.sagas.{name}", usual)
        for name in ("mark", "mark_all")
        for usual in (Usual.NOT_KEYED, Usual.NOT_IDEMPOTENT)
    }
    on_purpose = {Usual.NOT_KEYED, Usual.NOT_IDEMPOTENT}
    assert_no_usual_mistakes(Lab, an_experiment, allow=lambda mistake: mistake.usual in on_purpose)


def test_it_says_who_and_how_it_is_mended() -> None:
    with mistaken.saga(hold, mistaken.give_back_by_id) as saga, pytest.raises(AssertionError) as failed:
        assert_no_usual_mistakes(saga, an_experiment)
    assert str(failed.value).splitlines() == [
        "Mistaken has 1 of the usual mistakes",
        "",
        "tests.support.mistaken.give_back_by_id (hold.compensate): it undoes by a returned id",
        "  seen: without what hold has returned it raises KeyError: 'hold'",
        "  mend it: find what to undo by call.run_id and call.step: if the answer was lost, there is no result to read "
        "it from",
    ]


def test_what_was_never_called_was_not_found_faultless() -> None:
    def never(call: object) -> None:
        msg = "no"
        raise ValueError(msg)

    with (
        mistaken.saga(never) as saga,
        pytest.raises(AssertionError, match=r"asked of Mistaken does not lead to hold\.compensate"),
    ):
        find_mistakes(saga, an_experiment)


def test_a_case_that_fails_names_the_mistake_as_its_cause() -> None:
    with mistaken.saga(hold, mistaken.give_back_by_id) as saga, pytest.raises(AssertionError) as failed:
        assert_saga_unwinds(saga, an_experiment, invariant=lambda _: False)
    assert "likely cause:\ntests.support.mistaken.give_back_by_id (hold.compensate)" in str(failed.value)
