"""Every error the engine raises on purpose. The docstring of each says what it means."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError


class SagaError(Exception):
    """The base of all errors of this package."""


class DefinitionError(SagaError):
    """A saga is declared wrongly; raised when its class is made, never later."""


class UnknownSaga(SagaError):
    """No saga of this name and version is registered in this process."""


class UnknownStep(SagaError):
    """The saga has no such step, or the step no such operation."""


class InvalidArgument(SagaError, TypeError, ValueError):
    """What was handed to the engine cannot be kept: of another type, too long, nested too deeply.

    The message says what. It is what Python calls a ``TypeError`` or a ``ValueError``, and both here. Nothing was done,
    and the caller's transaction can go on.
    """


class InvalidDemand(InvalidArgument):
    """A pool is asked for what it cannot hold: no whole number, or too large a one; or a key too long for its holds."""


class RunExists(SagaError, IntegrityError):
    """There is a run of this id already. Nothing was written, and the caller's transaction can go on."""


class InvalidRequest(SagaError):
    """The request does not fit the saga's request type.

    The message says what is wrong where, and quotes nothing of the request. ``errors`` has more, for whoever sent it.
    """

    def __init__(self, message: str, errors: list[dict[str, object]]) -> None:
        super().__init__(message)
        self.errors = errors


class NotAwaited(SagaError):
    """A report of an operation that nobody has begun."""


class NoReport(Exception):
    """What was accepted was not reported in time: whether it took effect is not known. Counts as a failed attempt."""


class ChildEnded(Exception):
    """A run that is a step of another was ended by hand, and not as that one needs it: a person must see to both."""


class NotSent(Exception):
    """A remote participant was not reached: nothing was sent, so nothing has happened there."""


class DataTooLarge(SagaError):
    """A request, a result or a confirmation's data is larger than ``SAGAS["DATA_LIMIT"]``.

    ``size`` and ``limit`` are in bytes of JSON. For a request it is the cause of an ``InvalidRequest``; for a step's
    result it is a fault of that run.
    """

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class UnknownConfirmation(SagaError):
    """The saga waits for no confirmation of this name."""


class DeadlineUnknown(SagaError):
    """A ``Confirmation(until=…)`` does not say when it is too late: no ``datetime``, or none with a time zone."""


class RunNotFound(SagaError):
    """There is no run of this id."""


class NotFinished(SagaError):
    """A run still needs the data that should be erased; the message names it."""


class NotErased(SagaError):
    """A database that has copies of what should be erased cannot be reached; the message names it. Repeat it then."""


class IllegalTransition(SagaError):
    """The run did not stand where the caller thought, or the move is not in the transition table."""


class AlreadyDecided(SagaError):
    """The run was already decided the other way: a confirm after its cancel, a cancel after its confirm.

    Or what a person decided about it concerns an escalation that is over.

    ``state`` is the state in which the run was found, under its lock.
    """

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class InvalidDecision(InvalidArgument):
    """An escalation cannot be decided so: nobody is named, no note tells what was done, or the outcome is no end."""


class Overloaded(SagaError):
    """The backlog is older than new work may wait; try again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Locked(SagaError):
    """Another run holds the key, or stands in line for it, and this one is not to wait.

    ``key`` is the business key, ``holder`` the id of the run that holds it.
    """

    def __init__(self, message: str, *, key: str, holder: UUID) -> None:
        super().__init__(message)
        self.key = key
        self.holder = holder


class PoolInconsistent(SagaError):
    """A pool is not as it must be: a hold or the pool's row is missing, or is not what the run must hold.

    Somebody has changed them by other means than the engine's; a fault of the operation that meets it.
    """


class Rejected(Exception):
    """The business says no: sold out, coupon used. Never retried; the run is compensated.

    Args:
        detail: one sentence for the customer.
        code: a stable word for programs, by default the class name.
        note: what else operators should know; no customer reads it.
    """

    #: Also for a class with a constructor of its own.
    note = ""

    def __init__(self, detail: str = "", *, code: str = "", note: str = "") -> None:
        # As texts: a lazy translation is one in the language of whoever reads it, and is stored in this one.
        self.detail = str(detail or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        self.code = str(code or type(self).__name__)
        self.note = str(note)
        super().__init__(self.detail)
