"""What an application calls: start, confirm, cancel, resume, erase, and the door's admission.

All work in the caller's database transaction, if there is one; the kick follows the commit.
"""

from __future__ import annotations

import math
import time
from typing import Any
from uuid import UUID

from django.db import transaction

from sagas import erasure, lifecycle, store
from sagas.conf import config
from sagas.definition import Saga
from sagas.erasure import Erasure
from sagas.errors import InvalidRequest, Overloaded
from sagas.kick import kick
from sagas.lifecycle import Receipt
from sagas.messages import Message
from sagas.states import State

#: The run's column for its business key.
KEY_LIMIT = 64


def start(saga: type[Saga[Any]], request: object, *, business_key: str = "", run_id: UUID | None = None) -> UUID:
    """Start a run; it begins when the surrounding transaction commits.

    Args:
        saga: the definition.
        request: what it is asked for, of the saga's request type (or a dict that fits it).
        business_key: what people know it by, such as an order number; at most 64 characters.
        run_id: the run's id, where the caller must know it before; a UUIDv7 by default.

    Returns:
        The run's id, which is the global transaction id.

    Raises:
        InvalidRequest: the request does not fit, or is larger than ``SAGAS["DATA_LIMIT"]``.
        django.db.IntegrityError: a run of this id exists.
    """
    if len(business_key) > KEY_LIMIT:
        msg = f"a business key has at most {KEY_LIMIT} characters, not {len(business_key)}"
        raise InvalidRequest(msg, [{"loc": ["business_key"], "msg": msg}])
    run_id = lifecycle.insert_run(saga, request, business_key=business_key, run_id=run_id)
    transaction.on_commit(kick)
    return run_id


def confirm(run_id: UUID, name: str, data: dict[str, Any] | None = None) -> Receipt:
    """Give a confirmation. A repeat gets the receipt of the first, whatever has happened since.

    Args:
        run_id: the run.
        name: the confirmation's name in the saga.
        data: what to keep of it, such as a payment id; JSON.

    Raises:
        RunNotFound: there is no such run.
        UnknownConfirmation: its saga waits for no confirmation of this name.
        AlreadyDecided: the run is being undone, is undone, or waits for a person.
        DataTooLarge: ``data`` is larger than ``SAGAS["DATA_LIMIT"]``. Nothing was taken.
    """
    receipt, messages = lifecycle.receive_confirmation(run_id, name, data or {})
    _after_commit(messages)
    return receipt


def cancel(run_id: UUID, *, reason: str = "", by: str = "") -> State:
    """Undo a run that is not decided yet. A repeat is answered alike.

    Args:
        run_id: the run.
        reason: why, for the record.
        by: who, for the record.

    Returns:
        The state: COMPENSATING, or FAILED if it was undone before.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is confirmed.
    """
    state, messages = lifecycle.cancel_run(run_id, reason=reason, by=by)
    _after_commit(messages)
    return state


def resume(run_id: UUID, *, by: str, note: str = "") -> State:
    """Put an escalated run back to work where it stood.

    Args:
        run_id: the run.
        by: who.
        note: what was mended, for the record.

    Raises:
        RunNotFound: there is no such run.
        AlreadyDecided: it is not escalated.
    """
    state, messages = lifecycle.resume_run(run_id, by=by, note=note)
    _after_commit(messages)
    return state


def erase(*, business_key: str, by: str) -> Erasure:
    """Overwrite what is marked as personal in every run of a business key, for good; a repeat does nothing.

    Rows, times and outcomes stay, and an ``erase`` in each run's log says who did it and when. It reaches the engine's
    tables: what participants have written into tables of their own is theirs to erase.

    Args:
        business_key: what people know the runs by.
        by: who, for the record.

    Raises:
        RunNotFound: there is no run of this business key.
        NotFinished: a run of it still needs its data. Nothing was erased.
        ValueError: one of the two is empty.
    """
    return erasure.erase(business_key=business_key, by=by)


class _Door:
    """The age of the backlog, asked of the database at most once a second in a process."""

    asked_at = -math.inf
    age = 0.0

    def backlog_age(self) -> float:
        now = time.monotonic()
        if now - self.asked_at >= 1.0:
            self.age = store.backlog_age()
            self.asked_at = now
        return self.age


_door = _Door()


def admit() -> None:
    """Raise ``Overloaded`` when runs have waited so long that new ones had better not join them."""
    limit = config().admission
    age = _door.backlog_age()
    if age > limit:
        msg = f"the oldest run has waited {age:.0f} s to begin; the limit is {limit:g} s"
        raise Overloaded(msg, retry_after=max(1, math.ceil(min(age - limit, 60))))


def _after_commit(messages: list[Message]) -> None:
    # Nothing but kicks can follow here: the dispatcher finds the rest in the database.
    if messages:
        transaction.on_commit(kick)
