"""Call a participant for a cohort, and make an answer of whatever it returns or raises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from sagas.db import ConnectionLost, describe_error, is_other_database_lost, is_soft_time_limit, is_transient
from sagas.decisions.reasons import error_text
from sagas.definition.participants import Accepted, Call, Done, Participant, SetBased, is_set_based, participant_name
from sagas.errors import Rejected
from sagas.log_context import of_run
from sagas.serialization import check_size, dump_json
from sagas.trace_context import of_call


@dataclass(frozen=True, slots=True)
class Fault:
    """Something broke: the operation is tried again, then given up."""

    error: Exception


Answer = Done | Rejected | Accepted | Fault


class NoAnswer(Exception):
    """A call was begun, and the process that made it died or was cut off: whether it took effect is not known."""


class PivotAccepted(Exception):
    """The participant of a pivot has answered ``Accepted``: then the run could still be cancelled."""


class RolledBack(Exception):
    """A participant has returned a result, but its transaction can only be rolled back."""


class ThirdDatabase(Exception):
    """A participant has asked a database that is neither the engine's nor its step's, and that does not answer.

    To the engine that database is like any other system: this is a fault of the run, which is tried again and counted.
    """


class SetBasedFailure(Exception):
    """A set-based participant raised: its transaction must be rolled back, and the cohort made smaller."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def collect(
    participant: Participant,
    calls: Sequence[Call[Any]],
    rejects: tuple[type[Exception], ...],
    *,
    using: str = DEFAULT_DB_ALIAS,
    pivot: bool = False,
) -> Sequence[Answer]:
    """Call ``participant`` for every call, inside the caller's transaction on the database ``using``.

    To accept is a fault where it is the ``pivot``.

    Raises:
        SetBasedFailure: a set-based participant raised.
        ConnectionLost: what a participant did could not be taken back.
        django.db.Error: no run is the cause: the transaction collided with another, or the database cannot do it.
        SoftTimeLimitExceeded: there was not enough time for all the calls.
    """
    if is_set_based(participant):
        return _collect_set(participant, calls, using, pivot=pivot)
    return [_collect_one(participant, call, rejects, using, pivot=pivot) for call in calls]


def _collect_set(
    participant: SetBased[Any], calls: Sequence[Call[Any]], using: str, *, pivot: bool
) -> Sequence[Answer]:
    try:
        given: Any = participant.many(calls)
        if not isinstance(given, Iterable):
            msg = (
                f"{participant_name(participant)} returned {given!r} for {len(calls)} calls; return an outcome for each"
            )
            raise TypeError(msg)  # noqa: TRY301 - to the engine it is the same as if the participant had raised
        answers = list(given)
        _check(answers, calls, participant)
        for answer, call in zip(answers, calls, strict=True):
            _check_pivot(answer, call, pivot=pivot)
    except Exception as error:
        if is_soft_time_limit(error):
            raise
        if is_other_database_lost(error, using):
            raise SetBasedFailure(ThirdDatabase(describe_error(error))) from error
        if is_transient(error, using):
            raise
        raise SetBasedFailure(error) from error
    return answers


def _check(answers: Sequence[Any], calls: Sequence[Call[Any]], participant: SetBased[Any]) -> None:
    """Refuse answers that cannot be stored, as errors of the participant."""
    if len(answers) != len(calls):
        msg = (
            f"{participant_name(participant)} gave {len(answers)} outcomes for {len(calls)} calls; return one for each"
        )
        raise TypeError(msg)
    for answer, call in zip(answers, calls, strict=True):
        if isinstance(answer, Done):
            if answer.result is not None:
                check_size(dump_json(answer.result), f"the result of {call.step} {call.operation}")
        elif not isinstance(answer, Rejected | Accepted):
            msg = f"{participant_name(participant)} gave {answer!r}; an outcome is Done, Rejected or Accepted"
            raise TypeError(msg)


def _check_pivot(answer: object, call: Call[Any], *, pivot: bool) -> None:
    """Refuse ``Accepted`` of a pivot: a run that waits there could be cancelled, or run out of time."""
    if pivot and isinstance(answer, Accepted):
        msg = (
            f"{call.step} is the pivot and has answered Accepted: a pivot is done when it returns. Give it a "
            "compensation instead, or have a confirmation be the pivot"
        )
        raise PivotAccepted(msg)


def _collect_one(
    participant: Any, call: Call[Any], rejects: tuple[type[Exception], ...], using: str, *, pivot: bool
) -> Answer:
    try:
        with transaction.atomic(using=using):
            answer = _ask(participant, call, using)
            _check_pivot(answer, call, pivot=pivot)
            return answer
    except Exception as error:
        if is_soft_time_limit(error) or (is_transient(error, using) and not is_other_database_lost(error, using)):
            raise
        if transaction.get_rollback(using=using):
            # Not even the savepoint could be rolled back. That is no fault of the participant, whatever it has raised.
            msg = "what a participant did could not be taken back"
            raise ConnectionLost(msg) from error
        if isinstance(error, rejects):
            return as_rejection(error)
        return Fault(ThirdDatabase(describe_error(error)) if is_other_database_lost(error, using) else error)


def _ask(participant: Any, call: Call[Any], using: str) -> Answer:
    """Call a participant in its savepoint. An answer that cannot be stored raises, which takes the effect back."""
    # A run that it starts joins the trace.
    with of_call(call.trace_id, call.trace_parent), of_run(call.run_id):
        result = participant(call)
    if transaction.get_rollback(using=using):
        # It has caught an error of an ``atomic`` block without a savepoint. Our own block would end without an error.
        msg = f"{participant_name(participant)} returned, although its transaction is to be rolled back"
        raise RolledBack(msg)
    answer = result if isinstance(result, Done | Accepted) else Done(result)
    if isinstance(answer, Done):
        check_size(dump_json(answer.result), f"the result of {call.step} {call.operation}")
    return answer


def as_rejection(error: Exception) -> Rejected:
    """Make a rejection of an exception whose class the step has declared in ``rejects``."""
    return error if isinstance(error, Rejected) else Rejected(error_text(error), code=type(error).__name__)
