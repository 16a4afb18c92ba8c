"""The usual mistakes of participants are found, each in a saga that has just that one; and none where there is none."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection

import sagas
from orders.sagas import PlaceOrder
from sagas import api, runtime
from sagas.definition.participants import Participant, SetBasedFunction
from sagas.testing import Mistake, MistakeKind, assert_no_usual_mistakes, assert_saga_unwinds, find_mistakes
from sagas.testing.matrix.rollback import rolled_back
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Lab
from tests.support import mistaken
from tests.support.driver import psycopg
from tests.support.mistaken import give_back, hold, hold_all
from tests.support.unwinding import place

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_due")]

#: The status of a session without a transaction, as libpq has it.
IDLE = 0


def an_experiment() -> Experiment:
    """Of a jar of its own."""
    return Experiment(jar=Jar.objects.create(name=f"jar-{uuid4().hex[:8]}", available=10).name)


def found(do: Participant, compensate: Participant = give_back) -> list[Mistake]:
    with mistaken.saga(do, compensate) as saga:
        return find_mistakes(saga, an_experiment)


def transaction_number() -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
        return cursor.fetchone()[0]


def named(value: object) -> str:
    """The participant, for the test's id; what is expected of it need not be there."""
    if isinstance(value, str):
        return "-"
    target = value.function if isinstance(value, SetBasedFunction) else value
    return str(getattr(target, "__name__", type(value).__name__))


@pytest.mark.parametrize(
    ("do", "kind", "observed"),
    [
        (mistaken.mail, MistakeKind.OUTSIDE_EFFECT, "it sends mail"),
        (mistaken.speak, MistakeKind.OUTSIDE_EFFECT, "it uses a socket, from mistaken.py:"),
        (mistaken.mail_many, MistakeKind.OUTSIDE_EFFECT, "it sends mail, from mistaken.py:"),
        (mistaken.mail_by_backend, MistakeKind.OUTSIDE_EFFECT, "it sends mail, from mistaken.py:"),
        (
            mistaken.do_after_commit,
            MistakeKind.OUTSIDE_EFFECT,
            "it leaves something to be done after the commit, from mistaken.py:",
        ),
        (mistaken.connect, MistakeKind.OUTSIDE_EFFECT, "it opens a connection of its own to the database 'default'"),
        (mistaken.commit, MistakeKind.COMMITS, "Django refuses: "),
        (mistaken.be_durable, MistakeKind.COMMITS, "Django refuses: "),
        (mistaken.commit_in_sql, MistakeKind.COMMITS, "it executes COMMIT; BEGIN"),
        (
            mistaken.commit_behind_djangos_back,
            MistakeKind.COMMITS,
            "it calls commit() of the driver's connection, from mist",
        ),
        (mistaken.read_the_clock, MistakeKind.READS_CLOCK, "it calls now() at mistaken.py:"),
        (mistaken.read_djangos_clock, MistakeKind.READS_CLOCK, "it calls now() at mistaken.py:"),
        (mistaken.read_a_partial_clock, MistakeKind.READS_CLOCK, "it calls now(), as NOW, at mistaken.py:"),
        (mistaken.read_the_clock_for_a_receipt, MistakeKind.READS_CLOCK, "it calls now() at mistaken.py:"),
        (mistaken.read_the_wall, MistakeKind.READS_CLOCK, "it calls localtime() at mistaken.py:"),
        (
            mistaken.hold_by_attempt,
            MistakeKind.NOT_KEYED,
            "called a second time it leaves something else: lab_mark: unexpec",
        ),
        (
            mistaken.hold_again,
            MistakeKind.NOT_KEYED,
            "called a second time it leaves something else: lab_jar: missing row ",
        ),
        (
            mistaken.label_what_is_not_there,
            MistakeKind.BREAKS,
            "the COMMIT would be refused: insert or update on table",
        ),
        (
            mistaken.pass_over_an_error,
            MistakeKind.BREAKS,
            "tests.support.mistaken.pass_over_an_error returned, although",
        ),
        (
            mistaken.pass_over_an_error_of_all,
            MistakeKind.BREAKS,
            "tests.support.mistaken.pass_over_an_error_of_all returned",
        ),
        (mistaken.hold_in_disorder, MistakeKind.MANY_DISAGREES, "called for one after the other it answers Done("),
        (
            mistaken.hold_the_first,
            MistakeKind.MANY_DISAGREES,
            "called for one after the other it leaves something else: ",
        ),
        (mistaken.InTwoForms(), MistakeKind.MANY_DISAGREES, "called in its one-call form it leaves something else: "),
    ],
    ids=named,
)
def test_a_mistake_of_a_forward_operation_is_found(do: Participant, kind: MistakeKind, observed: str) -> None:
    (mistake,) = found(do)
    assert (mistake.step, mistake.operation, mistake.kind) == ("hold", "forward", kind)
    assert mistake.observed.startswith(observed)


@pytest.mark.parametrize(
    "do",
    [
        *mistaken.COMMITS,
        mistaken.commit_by_the_drivers_cursor,
        mistaken.commit_by_a_cursor_of_its_own,
        mistaken.commit_by_block,
        mistaken.commit_and_go_on,
        mistaken.commit_at_the_second_attempt,
        mistaken.close,
    ],
)
def test_a_commit_is_found_and_prevented(do: Participant) -> None:
    before = transaction_number()
    (mistake,) = found(do)
    assert mistake.kind is MistakeKind.COMMITS
    assert transaction_number() == before


@pytest.mark.parametrize(
    ("compensate", "kind", "observed"),
    [
        (mistaken.never, MistakeKind.BREAKS, "called for the first time it raises ValueError: never"),
        (
            mistaken.give_back_what_must_be_there,
            MistakeKind.NOT_IDEMPOTENT,
            "called for a run that has done nothing it rai",
        ),
        (
            mistaken.give_back_what_anybody_holds,
            MistakeKind.NOT_IDEMPOTENT,
            "called for a run that has done nothing it lea",
        ),
        (mistaken.give_back_by_id, MistakeKind.BY_RETURNED_ID, "without what hold has returned it raises KeyError"),
        (
            mistaken.give_back_by_id_if_any,
            MistakeKind.BY_RETURNED_ID,
            "without what hold has returned it leaves something",
        ),
        (
            mistaken.give_back_again,
            MistakeKind.NOT_IDEMPOTENT,
            "called a second time it leaves something else: lab_jar: mi",
        ),
        (mistaken.give_back_once, MistakeKind.NOT_IDEMPOTENT, "called a second time it raises DoesNotExist"),
    ],
    ids=named,
)
def test_a_mistake_of_an_undo_is_found(compensate: Participant, kind: MistakeKind, observed: str) -> None:
    (mistake,) = found(hold, compensate)
    assert (mistake.step, mistake.operation, mistake.kind) == ("hold", "compensate", kind)
    assert mistake.observed.startswith(observed)


@pytest.mark.django_db(databases=["default", "loyalty"])
def test_a_write_in_another_database_is_found(loyalty_database: None) -> None:
    (mistake,) = found(mistaken.write_elsewhere)
    assert mistake.kind is MistakeKind.OUTSIDE_EFFECT
    assert mistake.observed.startswith("it writes in the database 'loyalty': INSERT INTO")


@pytest.mark.django_db(databases=["default", "loyalty"])
@pytest.mark.parametrize(
    "query",
    [
        psycopg.sql.SQL("DELETE FROM loyalty_stamp"),
        "-- audit\nDELETE FROM loyalty_stamp",
        "SELECT 1 AS a INTO TABLE another",
    ],
)
def test_a_write_in_another_database_by_sql_is_found(query: object, loyalty_database: None) -> None:
    (mistake,) = found(mistaken.write_elsewhere_in(query))
    assert mistake.kind is MistakeKind.OUTSIDE_EFFECT
    assert mistake.observed.startswith("it writes in the database 'loyalty': ")


def test_the_use_of_an_older_connection_is_found() -> None:
    with mistaken.connected_before() as connected:
        (mistake,) = found(connected)
    assert mistake.kind is MistakeKind.OUTSIDE_EFFECT
    assert mistake.observed.startswith("it uses a connection that is not Django's, from mistaken.py:")


@pytest.mark.parametrize(
    ("file", "module"),
    [
        (f"{Path(sagas.__file__).parent}_shop/participants.py", "sagas_shop.participants"),
        (f"{sysconfig.get_paths()['purelib']}/shop/participants.py", "shop.participants"),
    ],
    ids=["beside-the-engine", "installed"],
)
def test_a_clock_is_found_wherever_the_project_is_installed(file: str, module: str) -> None:
    (mistake,) = found(mistaken.read_the_clock_in(file, module))
    assert (mistake.kind, mistake.observed) == (MistakeKind.READS_CLOCK, "it calls now() at participants.py:2")


def test_a_thread_that_outlives_the_search_is_not_observed() -> None:
    with mistaken.with_a_thread() as (threaded, pool):
        assert found(threaded) == []
        assert pool.submit(sys.getprofile).result() is None


def test_a_rejected_call_hides_no_mistake_of_the_others() -> None:
    reject: list[tuple[str, ...]] = [(), ("hold",)] * 9
    with mistaken.saga(mistaken.hold_again_unless_refused) as saga:
        found = find_mistakes(saga, lambda: Experiment(jar=an_experiment().jar, reject=reject.pop(0)))
    assert [(mistake.operation, mistake.kind) for mistake in found] == [("forward", MistakeKind.NOT_KEYED)]


@pytest.mark.parametrize("jars", ["ab", "ba"])
def test_answers_in_a_wrong_order_are_found_in_either_order_of_calls(jars: str) -> None:
    names = [Jar.objects.create(name=f"{letter}-{uuid4().hex[:8]}", available=10).name for letter in jars]
    with mistaken.saga(mistaken.hold_in_the_order_of_jars) as saga:
        (mistake,) = find_mistakes(saga, in_turn([Experiment(jar=name) for name in names]))
    assert mistake.kind is MistakeKind.MANY_DISAGREES


def in_turn(experiments: list[Experiment]) -> Callable[[], Experiment]:
    """One after the other, and from the start again."""

    def next_one() -> Experiment:
        experiments.append(experiments.pop(0))
        return experiments[-1]

    return next_one


@pytest.mark.parametrize(
    ("confirm", "kind", "observed"),
    [
        (
            mistaken.confirm_again,
            MistakeKind.NOT_IDEMPOTENT,
            "called a second time it leaves something else: lab_jar: mi",
        ),
        (mistaken.confirm_once, MistakeKind.NOT_IDEMPOTENT, "called a second time it raises DoesNotExist"),
        (mistaken.never, MistakeKind.BREAKS, "called for the first time it raises ValueError: never"),
    ],
    ids=named,
)
def test_a_mistake_of_a_confirm_is_found(confirm: Participant, kind: MistakeKind, observed: str) -> None:
    with mistaken.saga(hold, give_back, confirm) as saga:
        (mistake,) = find_mistakes(saga, an_experiment)
    assert (mistake.step, mistake.operation, mistake.kind) == ("hold", "confirm", kind)
    assert mistake.observed.startswith(observed)


def test_a_refund_may_use_the_data_of_its_confirmation() -> None:
    with mistaken.refunded(mistaken.refund) as saga:

        def paid() -> UUID:
            run_id = api.start(saga, an_experiment())
            api.confirm(run_id, "payment", {"charge": "ch-1"})
            return run_id

        assert find_mistakes(saga, paid) == []


def test_a_refund_without_the_data_of_its_confirmation_is_found() -> None:
    with mistaken.refunded(mistaken.refund) as saga:
        (mistake,) = find_mistakes(saga, an_experiment)
    assert (mistake.step, mistake.operation, mistake.kind) == ("payment", "compensate", MistakeKind.BREAKS)
    assert mistake.observed == (
        "called for the first time it raises KeyError: 'charge' "
        "(no data came with its confirmation; a request may confirm, with data)"
    )


def test_an_undo_may_use_the_result_of_another_step() -> None:
    with mistaken.in_two_steps(mistaken.unmark_what_is_held) as saga:
        assert find_mistakes(saga, an_experiment) == []


def test_an_undo_may_use_its_own_result_if_it_also_works_without() -> None:
    assert found(hold, mistaken.give_back_quickly) == []


def test_a_correct_confirm_has_no_mistake() -> None:
    with mistaken.saga(hold, give_back, mistaken.confirm) as saga:
        assert find_mistakes(saga, an_experiment) == []


def test_an_outside_effect_of_a_confirm_is_found() -> None:
    with mistaken.saga(hold, give_back, mistaken.mail) as saga:
        (mistake,) = find_mistakes(saga, an_experiment)
    assert (mistake.operation, mistake.kind) == ("confirm", MistakeKind.OUTSIDE_EFFECT)


@pytest.mark.parametrize(
    "do",
    [
        hold,
        hold_all,
        mistaken.hold_and_log,
        mistaken.hold_and_speak_of_commits,
        mistaken.hold_for_a_user,
        mistaken.hold_and_measure,
    ],
    ids=["one-call", "set-based", "and-logs", "speaks-of-commits", "default-of-a-field", "measures"],
)
def test_correct_participants_have_no_mistake(do: Participant) -> None:
    assert found(do) == []


def test_the_shops_participants_have_no_mistake() -> None:
    assert_no_usual_mistakes(PlaceOrder, place)


def test_the_search_leaves_no_rows() -> None:
    before = holds_and_jars()
    found(hold)
    assert holds_and_jars() == before


def holds_and_jars() -> tuple[set[object], ...]:
    """All there are: other tests leave theirs."""
    return set(JarHold.objects.values_list()), set(Jar.objects.values_list())


def test_recorded_definitions_are_forgotten_after_a_rolled_back_block_fails() -> None:
    before = set(runtime.memory.recorded)
    msg = "it fails"
    with pytest.raises(ValueError, match=msg), rolled_back(["default"]):
        runtime.memory.recorded.add(("mistaken.Mistaken", 1, 1))
        raise ValueError(msg)
    assert runtime.memory.recorded == before


def test_the_laboratorys_marks_are_doubled_on_purpose() -> None:
    found = find_mistakes(Lab, an_experiment)
    assert {(one.participant, one.kind) for one in found} == {
        (f"tests.lab.sagas.{name}", kind)
        for name in ("mark", "mark_all")
        for kind in (MistakeKind.NOT_KEYED, MistakeKind.NOT_IDEMPOTENT)
    }
    on_purpose = {MistakeKind.NOT_KEYED, MistakeKind.NOT_IDEMPOTENT}
    assert_no_usual_mistakes(Lab, an_experiment, allow=lambda mistake: mistake.kind in on_purpose)


def test_the_message_names_the_participant_and_the_fix() -> None:
    with mistaken.saga(hold, mistaken.give_back_by_id) as saga, pytest.raises(AssertionError) as failed:
        assert_no_usual_mistakes(saga, an_experiment)
    assert str(failed.value).splitlines() == [
        "Mistaken has 1 of the usual mistakes",
        "",
        "tests.support.mistaken.give_back_by_id (hold.compensate): it undoes by a returned id",
        "  observed: without what hold has returned it raises KeyError: 'hold'",
        "  fix: find what to undo by call.run_id and call.step: if the answer was lost, no result contains the id",
    ]


def test_an_operation_that_was_never_called_fails_the_search() -> None:
    with mistaken.saga(mistaken.never) as saga, pytest.raises(AssertionError) as failed:
        find_mistakes(saga, an_experiment)
    assert str(failed.value).splitlines() == [
        "the runs of Mistaken did not reach hold.compensate",
        "hold.forward raises ValueError: never",
    ]


def test_a_case_that_fails_names_the_mistake_as_its_cause() -> None:
    with mistaken.saga(hold, mistaken.give_back_by_id) as saga, pytest.raises(AssertionError) as failed:
        assert_saga_unwinds(saga, an_experiment, invariant=lambda _: False)
    assert "likely cause:\ntests.support.mistaken.give_back_by_id (hold.compensate)" in str(failed.value)


@pytest.mark.django_db(transaction=True)
def test_the_drivers_connection_is_left_as_it_was() -> None:
    """A ``with`` that was entered and never left has psycopg2 begin a transaction with each statement, for good."""
    # Given
    found(mistaken.commit_by_block)

    # When
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")

    # Then
    assert connection.connection.info.transaction_status == IDLE
