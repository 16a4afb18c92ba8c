"""``Confirmation``: something from outside that a saga waits for, and how it is taken back."""

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

#: What is computed is brought between these. Beyond them a grace or a time zone makes a date that Python cannot read.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC)


class Confirmation:
    """Something from outside that must come in time: a payment, an approval.

    It is the pivot: once all have come, the run only goes forward. A step that stands after one, in the class, is
    performed then; a confirmation that stands before all steps comes after all of them.

    Args:
        within: how long after the run first starts; a RabbitMQ delay queue of this TTL carries the deadline.
        until: instead, when it is too late, computed from the request: a ``datetime`` with a time zone. The
            dispatcher's clock watches it. A start is refused if it breaks; later, a person is called.
        compensate: takes back a confirmation that did come (refunds a payment) when the run is undone for whatever
            cause. ``Call.results`` has what came with it, under its name.
        needs_compensation: ``False`` says that nothing is to be given back (an approval, say). A confirmation that
            has neither this nor ``compensate`` is refused by a system check: what was taken would be kept.
        queue: the queue whose workers compensate, one of ``SAGAS["QUEUES"]``.
        finish_retry: policy of compensate; by default 5 attempts, then a person is called.
        personal: what is personal in the data that comes with it; see ``Step``.
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
            msg = f"Confirmation(within={within}): a deadline lies in the future"
            raise DefinitionError(msg)
        if (compensate is None) != (not queue):
            msg = "Confirmation: compensate= and queue= belong together"
            raise DefinitionError(msg)
        if compensate is not None and not needs_compensation:
            msg = (
                "Confirmation: compensate= says how it is taken back, and needs_compensation=False that it need not be"
            )
            raise DefinitionError(msg)
        self.name = ""
        self.needs_compensation = needs_compensation
        self.within = within
        self.until = until
        self.refund = Refund(compensate, queue=queue, finish_retry=finish_retry) if compensate is not None else None
        self.personal = parse_personal(personal)

    def __set_name__(self, _owner: type, name: str) -> None:
        """Take the attribute's name: it is what the confirmation is sent by."""
        self.name = self.name or name
        if self.refund is not None:
            self.refund.name = self.name

    @property
    def shape(self) -> ConfirmationShape:
        """What runs depend on in it."""
        within = None if self.within is None else self.within.total_seconds()
        return ConfirmationShape(self.name, within, self.personal, self.refund.shape if self.refund else None)

    @property
    def is_known_here(self) -> bool:
        """Whether this process can say when it is too late for it."""
        return self.until is not missing_deadline

    def deadline(self, started_at: datetime, request: Callable[[], Any]) -> datetime:
        """When it is too late for a run that began then; ``request`` loads what it was asked for."""
        if self.within is not None:
            return started_at + self.within
        return self.computed(request())

    def computed(self, request: object) -> datetime:
        """When it is too late by ``until``; ``DeadlineUnknown`` if that does not say. ``datetime.max`` is no end."""
        assert self.until is not None
        found: object = self.until(request)
        if not isinstance(found, datetime) or found.utcoffset() is None:
            msg = f"until= of {self.name} gave {found!r}: a deadline is a datetime with a time zone"
            raise DeadlineUnknown(msg)
        return max(_FIRST, min(found, _LAST))


def missing_deadline(_request: object) -> datetime:
    """Stand for a computed deadline that this process has not; see ``Confirmation.is_known_here``."""
    raise NotImplementedError
