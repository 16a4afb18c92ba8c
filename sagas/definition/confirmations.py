"""``Confirmation``: an event from outside for which a saga waits, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error

from sagas import limits
from sagas.definition.participants import Participant
from sagas.definition.personal_data import parse_personal
from sagas.definition.retry import Retry, check_duration
from sagas.definition.shapes import ConfirmationShape
from sagas.definition.steps import FINISH_RETRY, Refund
from sagas.errors import DeadlineUnknown, DefinitionError, InvalidRequest
from sagas.validation import why_unstorable

#: The range of computed deadlines. Outside it, a grace or a time zone makes a date that Python cannot read.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC)


class Confirmation:
    """An event from outside that must come in time, such as a payment or an approval.

    Confirmations are the pivot: once all have come, the run only goes forward. Steps that stand after a confirmation in
    the class are performed after it. A confirmation that stands before all steps comes after all of them.

    Args:
        within: the time for the confirmation, from the first claim of the run. A RabbitMQ delay queue with this TTL
            carries the deadline.
        until: or a function of the request that computes the deadline, a ``datetime`` with a time zone. The dispatcher
            watches the clock. If the function fails, a start is refused; later, a person is called.
        decided_by: or a function of the request that computes a key, a text of 1 to 128 characters: one decision, made
            once by ``sagas.decide``, is given to all runs of this key, also to those that start later. There is no
            deadline. A saga has at most one such confirmation. The key is computed at the start, and stored.
        compensate: the participant that takes the confirmation back if the run is undone, by a refund, say.
            ``Call.results`` has the data of the confirmation, under its name.
        needs_compensation: ``False`` says that there is nothing to give back (an approval, say). A system check refuses
            a confirmation with neither this nor ``compensate``, because what was paid would be kept.
        queue: the queue whose workers perform ``compensate``, one of ``SAGAS["QUEUES"]``.
        finish_retry: when compensate is tried again; by default 5 attempts, then a person is called.
        personal: what is personal in the data of the confirmation; see ``Step``.
    """

    def __init__(
        self,
        *,
        within: timedelta | None = None,
        until: Callable[[Any], datetime] | None = None,
        decided_by: Callable[[Any], str] | None = None,
        compensate: Participant | None = None,
        needs_compensation: bool = True,
        queue: str = "",
        finish_retry: Retry = FINISH_RETRY,
        personal: Collection[str] | bool = (),
    ) -> None:
        if (within, until, decided_by).count(None) != 2:
            msg = (
                "Confirmation: give within=, a time after the start, or until=, a function of the request; or "
                "decided_by=, a function of the request that computes the key of a decision for many runs"
            )
            raise DefinitionError(msg)
        # Any: callers without a type checker get an error, too.
        computes: Any = decided_by
        if computes is not None and not callable(computes):
            msg = f"Confirmation(decided_by={decided_by!r}): give a function of the request"
            raise DefinitionError(msg)
        if decided_by is not None and personal:
            msg = "Confirmation: the data of a decision is that of many runs, so nothing in it is personal"
            raise DefinitionError(msg)
        if within is not None:
            check_duration(f"Confirmation(within={within!r})", within)
        if within is not None and within < timedelta(milliseconds=1):
            msg = f"Confirmation(within={within}): give at least a millisecond"
            raise DefinitionError(msg)
        if (compensate is None) != (not queue):
            msg = "Confirmation: compensate= and queue= belong together"
            raise DefinitionError(msg)
        if compensate is not None and not needs_compensation:
            msg = (
                "Confirmation: give compensate=, or needs_compensation=False if there is nothing to give back, not both"
            )
            raise DefinitionError(msg)
        self.name = ""
        self.needs_compensation = needs_compensation
        self.within = within
        self.until = until
        self.decided_by = decided_by
        self.refund = Refund(compensate, queue=queue, finish_retry=finish_retry) if compensate is not None else None
        self.personal = parse_personal(personal)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name, by which the confirmation is sent."""
        self.name = self.name or name
        if self.refund is not None:
            self.refund.name = self.name

    @property
    def shape(self) -> ConfirmationShape:
        """The part of the declaration on which runs depend."""
        within = None if self.within is None else self.within.total_seconds()
        refund = self.refund.shape if self.refund else None
        return ConfirmationShape(self.name, within, self.personal, refund, self.is_shared)

    @property
    def is_shared(self) -> bool:
        """Whether it comes by one decision for many runs, and so has no deadline."""
        return self.decided_by is not None

    @property
    def has_known_deadline(self) -> bool:
        """Whether this process can compute its deadline."""
        return self.until is not missing_deadline

    def deadline(self, started_at: datetime, request: Callable[[], Any]) -> datetime:
        """The deadline for a run that began at ``started_at``; ``request`` loads the run's request."""
        if self.within is not None:
            return started_at + self.within
        return self.compute_deadline(request())

    def compute_key(self, request: object) -> str:
        """The key of the decision that a run with this request awaits; ``InvalidRequest`` if it is none."""
        assert self.decided_by is not None
        try:
            key: object = self.decided_by(request)
        except Error:
            # An error of the caller's transaction, in which the application has made a query.
            raise
        except Exception as error:
            msg = f"the request does not fit: the key by which {self.name} is decided: {type(error).__name__}"
            raise InvalidRequest(msg, [{"loc": [], "type": "decision_key", "msg": msg}]) from error
        if why := why_no_key(key):
            msg = f"the request does not fit: the key by which {self.name} is decided {why}"
            raise InvalidRequest(msg, [{"loc": [], "type": "decision_key", "msg": msg}])
        return str(key)

    def compute_deadline(self, request: object) -> datetime:
        """The deadline by ``until``, or ``DeadlineUnknown`` if that is none. ``datetime.max`` means no deadline."""
        assert self.until is not None
        found: object = self.until(request)
        if not isinstance(found, datetime) or found.utcoffset() is None:
            msg = f"until= of {self.name} returned {found!r}: a deadline is a datetime with a time zone"
            raise DeadlineUnknown(msg)
        return max(_FIRST, min(found, _LAST))


def why_no_key(key: object) -> str:
    """Say why a value is no key of a decision; '' if it is one."""
    if not isinstance(key, str):
        return f"is a text, not {type(key).__name__}"
    if not 0 < len(key) <= limits.DECISION_KEY:
        return f"has 1 to {limits.DECISION_KEY} characters, not {len(key)}"
    unstorable = why_unstorable(key)
    return f"cannot have {unstorable}" if unstorable else ""


def missing_key(_request: object) -> str:
    """Stand in for ``decided_by`` if this process lacks it: the runs that follow such a definition have their keys."""
    raise NotImplementedError


def missing_deadline(_request: object) -> datetime:
    """Stand in for ``until`` if this process lacks it; see ``Confirmation.has_known_deadline``."""
    raise NotImplementedError
