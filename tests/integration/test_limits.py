"""Data that is too large: refused with its size, before anything is kept, and nobody else's harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from pytest_django import Settings

import sagas
from sagas import InvalidRequest, State, limits
from sagas.checks import check_sizes
from sagas.errors import DataTooLarge
from sagas.models import Confirmation, Log, Run
from sagas.serialization import check_size
from tests.integration.conftest import Start
from tests.lab.large_data import Carry, Luggage
from tests.support.carrier import Carrier
from tests.support.runs import await_state, effects, marks, reason, state, states, story

LIMIT = 65_536
#: A Luggage of an empty text, and a result's two quotation marks.
EMPTY = len('{"text":"","results":{}}')
QUOTES = 2


# -- The measure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("letter", "size"), [("x", 1), ("é", 2), ("茶", 3), ("🧋", 4)])
def test_limits_count_bytes_and_not_characters(settings: Settings, letter: str, size: int) -> None:
    settings.SAGAS = {**settings.SAGAS, "DATA_LIMIT": 120}
    check_size(letter * (120 // size), "it")
    with pytest.raises(DataTooLarge, match=rf"^it is {120 + size} bytes of JSON; SAGAS\['DATA_LIMIT'\] is 120\.") as e:
        check_size(letter * (120 // size + 1), "it")
    assert (e.value.size, e.value.limit) == (120 + size, 120)


def test_settings_by_which_a_cohort_may_be_too_large_for_postgresql_are_told_with_the_cure(settings: Settings) -> None:
    # Given just not too large
    settings.SAGAS = {**settings.SAGAS, "COHORT": 400, "DATA_LIMIT": 671_088}
    assert check_sizes() == []

    # When
    settings.SAGAS = {**settings.SAGAS, "DATA_LIMIT": 671_089}
    (warning,) = check_sizes()

    # Then
    assert warning.id == "sagas.W007"
    assert warning.msg.startswith(
        "SAGAS['DATA_LIMIT'] of 671,089 bytes for each of SAGAS['COHORT'], 400 runs, is more than the 268,435,455"
    )
    assert warning.hint is not None
    assert "SAGAS['DATA_LIMIT'] to at most 671,088 or SAGAS['COHORT'] to at most 399" in warning.hint

    # When no cohort is small enough
    settings.SAGAS = {**settings.SAGAS, "COHORT": 1, "DATA_LIMIT": limits.JSONB + 1}

    # Then
    assert [warning.hint.count("at most") for warning in check_sizes() if warning.hint] == [1]


def test_settings_that_cannot_be_read_are_told_by_another_check(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "COHORT": 0}
    assert check_sizes() == []


# -- The request ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_request_at_the_limit_is_accepted_and_one_byte_more_is_refused() -> None:
    # Given
    largest = Luggage("x" * (LIMIT - EMPTY))
    sagas.start(Carry, largest)
    before = Run.objects.count(), Log.objects.count()

    # When
    with pytest.raises(InvalidRequest, match=r"request of lab\.Carry is 65,537 bytes .* is 65,536") as refused:
        sagas.start(Carry, Luggage(largest.text + "x"))

    # Then
    assert refused.value.errors[0]["type"] == "too_large"
    assert (Run.objects.count(), Log.objects.count()) == before


# -- Results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["one", "two"])
@pytest.mark.usefixtures("alone")
def test_a_too_large_result_is_a_fault_of_its_run_only(step: str) -> None:
    # Given a cohort in which one run's result is one byte too large, and another's just not
    good = [sagas.start(Carry, Luggage()) for _ in range(5)]
    largest = sagas.start(Carry, Luggage(results={step: LIMIT - QUOTES}))
    bad = sagas.start(Carry, Luggage(results={step: LIMIT - QUOTES + 1}))

    # When
    Carrier().run([*good, largest, bad])

    # Then its neighbours have gone on, none of their effects twice
    assert states([*good, largest]) == {State.AWAITING_CONFIRM: 6}
    for run_id in [*good, largest]:
        assert set(marks(run_id).values()) == {1}
    # And its own effect is rolled back, the steps before are undone
    assert state(bad) is State.FAILED
    assert f"{step}.forward" not in marks(bad)
    done = ["one.forward", "one.compensate"] if step == "two" else []
    assert effects(bad) == done
    assert story(bad).count(f"{step}.forward FAULT") == 2
    # And the reason says how large it was, what the limit is, and what to do
    why = reason(bad)
    assert (why["kind"], why["step"], why["code"]) == ("fault", step, "DataTooLarge")
    assert why["detail"].startswith(
        f"the result of {step} forward is 65,537 bytes of JSON; SAGAS['DATA_LIMIT'] is 65,536. Keep"
    )


#: As PostgreSQL refuses a JSONB of more than 256 MB: here the results of more than two runs at once.
SMALL_JSONB = """
CREATE FUNCTION small_jsonb() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) > 2 FROM changed WHERE results ? 'two') THEN
        RAISE EXCEPTION 'total size of jsonb object elements exceeds the maximum' USING ERRCODE = '54000';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER small_jsonb AFTER UPDATE ON sagas_run REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION small_jsonb();
"""


@pytest.fixture
def small_jsonb(alone: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(SMALL_JSONB)
        yield
        cursor.execute("DROP FUNCTION small_jsonb CASCADE")


@pytest.mark.usefixtures("small_jsonb")
def test_a_cohort_whose_results_postgresql_cannot_take_at_once_is_performed_in_halves() -> None:
    # Given
    ids = [sagas.start(Carry, Luggage(results={"two": 10})) for _ in range(7)]

    # When
    Carrier().run(ids)

    # Then none of it counts as a failed attempt, and the effects are there once
    assert states(ids) == {State.AWAITING_CONFIRM: 7}
    for run_id in ids:
        assert "FAULT" not in "".join(story(run_id))
        assert set(marks(run_id).values()) == {1}


@pytest.mark.usefixtures("alone")
def test_on_a_real_worker_with_a_limit_of_its_own_later_steps_read_what_was_small_enough(start_worker: Start) -> None:
    # Given
    start_worker(DATA_LIMIT=100)

    # When
    small = sagas.start(Carry, Luggage(results={"one": 90, "two": 98}))
    large = sagas.start(Carry, Luggage(results={"one": 90, "two": 99}))

    # Then
    await_state(small, State.AWAITING_CONFIRM)
    assert Run.objects.get(pk=small).results["three"] == {"one": 90, "two": 98}
    await_state(large, State.FAILED)
    assert "101 bytes of JSON; SAGAS['DATA_LIMIT'] is 100" in reason(large)["detail"]


# -- Confirmations --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_too_large_confirmation_is_refused_and_a_smaller_one_may_follow() -> None:
    run_id = sagas.start(Carry, Luggage())

    # When
    with (
        pytest.raises(DataTooLarge, match=r"the data of receipt is 65,5\d\d bytes"),
        transaction.atomic(),
    ):
        sagas.confirm(run_id, "receipt", {"text": "x" * LIMIT})

    # Then
    assert not Confirmation.objects.filter(run_id=run_id).exists()
    assert story(run_id) == ["start"]
    assert sagas.confirm(run_id, "receipt", {"text": "x" * 100}).first
