"""A log becomes attempts and waits, each wait told by what it is for."""

from __future__ import annotations

from datetime import timedelta

from sagas.diagrams.timeline import RUNNING, Escalated, Lane, Timeline, WaitKind, build
from sagas.states import State
from tests.unit.diagrams.conftest import BEGIN, History, at, facts


def waits(timeline: Timeline) -> list[tuple[str, str, float, float]]:
    """What was waited for, where, and from when until when in seconds."""
    return [
        (w.kind.value, w.step, (w.start - BEGIN).total_seconds(), (w.end - BEGIN).total_seconds())
        for w in timeline.waits
    ]


def test_an_attempt_begins_as_long_before_its_row_as_its_participant_took() -> None:
    log = History()
    log.event(0, "start")
    log.row(3, "a forward", took=1)
    (attempt,) = build(facts(State.EXECUTING, 3), log.rows).attempts
    assert (attempt.start, attempt.end, attempt.lane) == (at(2), at(3), Lane.FORWARD)


def test_the_time_before_a_first_attempt_is_a_wait_in_the_queue_and_behind_a_failure_one_for_the_next_attempt() -> None:
    log = History()
    log.event(0, "start")
    log.row(2, "a forward", "FAULT", took=1)
    log.row(8, "a forward", took=1, attempt=2)
    assert waits(build(facts(State.EXECUTING, 8), log.rows)) == [("queue", "a", 0, 1), ("backoff", "a", 2, 7)]


def test_a_person_who_resumes_ends_the_wait_for_a_person_and_the_rest_is_the_queue() -> None:
    log = History()
    log.row(1, "a forward", "FAULT")
    log.event(50, "resume", by="mei")
    log.row(52, "a forward")
    timeline = build(facts(State.EXECUTING, 52, escalated=(Escalated(at(1), at(50)),)), log.rows)
    assert waits(timeline) == [("queue", "a", 0, 1), ("person", "", 1, 50), ("queue", "a", 50, 52)]
    assert timeline.marks[0].by == "mei"


def test_a_call_of_another_system_lasts_from_its_row_to_its_answer_and_one_without_is_under_way() -> None:
    log = History()
    log.row(1, "a forward", "INTENT")
    log.row(4, "a forward")
    log.row(5, "b forward", "INTENT")
    first, second = build(facts(State.EXECUTING, 9), log.rows).attempts
    assert (first.start, first.end, first.outcome) == (at(1), at(4), "DONE")
    assert (second.start, second.end, second.outcome) == (at(5), at(9), RUNNING)


def test_an_answer_that_was_never_learnt_ends_its_call_where_the_next_begins() -> None:
    log = History()
    log.row(1, "a forward", "INTENT")
    log.row(4, "a forward", "INTENT", attempt=2)
    log.row(5, "a forward", attempt=2)
    assert [(a.number, a.start, a.end, a.outcome) for a in build(facts(State.EXECUTING, 5), log.rows).attempts] == [
        (1, at(1), at(4), "INTENT"),
        (2, at(4), at(5), "DONE"),
    ]


def test_what_was_accepted_waits_for_its_report() -> None:
    log = History()
    log.row(1, "a forward", "ACCEPTED")
    assert waits(build(facts(State.EXECUTING, 7), log.rows)) == [("queue", "a", 0, 1), ("report", "a", 1, 7)]
    log.row(6, "a forward")
    timeline = build(facts(State.EXECUTING, 7, ahead=("b forward",)), log.rows)
    assert waits(timeline) == [("queue", "a", 0, 1), ("report", "a", 1, 6), ("queue", "b", 6, 7)]
    assert [wait.is_open for wait in timeline.waits] == [False, False, True]


def test_the_wait_for_a_confirmation_lasts_until_it_came_or_the_deadline_was_over() -> None:
    log = History()
    log.row(1, "a forward")
    log.row(2, "b forward")
    assert waits(build(facts(State.AWAITING_CONFIRM, 9), log.rows))[-1] == ("confirmation", "", 2, 9)
    log.event(30, "expire", "payment")
    log.row(31, "b compensate")
    timeline = build(facts(State.COMPENSATING, 32, ahead=("a compensate",)), log.rows)
    assert ("confirmation", "", 2, 30) in waits(timeline)
    assert ("queue", "b", 30, 31) in waits(timeline)
    assert timeline.longest(WaitKind.CONFIRMATION) == timedelta(seconds=28)


def test_a_confirmation_that_came_before_the_steps_were_done_was_not_waited_for() -> None:
    log = History()
    log.row(1, "a forward")
    log.event(1.5, "confirmation", "payment")
    log.row(2, "b forward")
    kinds = {wait.kind for wait in build(facts(State.CONFIRMING, 3, ahead=("a confirm",)), log.rows).waits}
    assert WaitKind.CONFIRMATION not in kinds


def test_a_run_that_nobody_has_begun_waits_in_the_queue_and_one_behind_a_failure_for_its_next_attempt() -> None:
    assert waits(build(facts(State.PENDING, 5, ahead=("a forward",)), [])) == [("queue", "a", 0, 5)]
    log = History()
    log.row(1, "a forward", "FAULT")
    timeline = build(facts(State.EXECUTING, 5, ahead=("a forward",), next_attempts={"a": at(9)}), log.rows)
    assert waits(timeline)[-1] == ("backoff", "a", 1, 5)
    assert timeline.waits[-1].is_open


def test_nothing_waits_in_a_run_that_has_ended() -> None:
    log = History()
    log.row(1, "a forward", took=1)
    assert waits(build(facts(State.SUCCEEDED, 1, ended=True), log.rows)) == []
