"""``Confirmation``: an event from outside for which a saga waits, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sagas.definition.participants import Participant
from sagas.definition.personal_data import parse_personal
from sagas.definition.retry import Retry, check_duration
from sagas.definition.shapes import ConfirmationShape
from sagas.definition.steps import FINISH_RETRY, Refund
from sagas.errors import DeadlineUnknown, DefinitionError

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
        compensate: Participant | None = None,
        needs_compensation: bool = True,
        queue: str = "",
        finish_retry: Retry = FINISH_RETRY,
        personal: Collection[str] | bool = (),
    ) -> None:
        if (within is None) == (until is None):
            msg = "Confirmation: give within=, a time after the start, or until=, a function of the request"
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
        return ConfirmationShape(self.name, within, self.personal, self.refund.shape if self.refund else None)

    @property
    def has_known_deadline(self) -> bool:
        """Whether this process can compute its deadline."""
        return self.until is not missing_deadline

    def deadline(self, started_at: datetime, request: Callable[[], Any]) -> datetime:
        """The deadline for a run that began at ``started_at``; ``request`` loads the run's request."""
        if self.within is not None:
            return started_at + self.within
        return self.compute_deadline(request())

    def compute_deadline(self, request: object) -> datetime:
        """The deadline by ``until``, or ``DeadlineUnknown`` if that is none. ``datetime.max`` means no deadline."""
        assert self.until is not None
        found: object = self.until(request)
        if not isinstance(found, datetime) or found.utcoffset() is None:
            msg = f"until= of {self.name} returned {found!r}: a deadline is a datetime with a time zone"
            raise DeadlineUnknown(msg)
        return max(_FIRST, min(found, _LAST))


def missing_deadline(_request: object) -> datetime:
    """Stand in for ``until`` if this process lacks it; see ``Confirmation.has_known_deadline``."""
    raise NotImplementedError
