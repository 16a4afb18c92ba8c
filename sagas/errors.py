"""Every error that the engine raises on purpose. The docstring of each says what it means."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError


class SagaError(Exception):
    """The base of the errors that callers of the engine get."""


class DefinitionError(SagaError):
    """A saga is declared wrongly. It is raised when the class is made, and never later."""


class UnknownSaga(SagaError):
    """No saga of this name and version is registered in this process."""


class UnknownStep(SagaError):
    """The saga has no such step, or the step has no such operation."""


class InvalidArgument(SagaError, TypeError, ValueError):
    """An argument cannot be stored: it has another type, is too long, or is nested too deeply.

    The message says what is wrong. The error is a ``TypeError`` and a ``ValueError``, as Python would raise. Nothing
    was done, and the caller's transaction can go on.
    """


class InvalidDemand(InvalidArgument):
    """A demand on a pool cannot be held: its quantity is no whole number or too large, or its key is too long."""


class RunExists(SagaError, IntegrityError):
    """A run of this id, or of this business key, exists already.

    Nothing was written, and the caller's transaction can go on.

    Attributes:
        run_id: the run that exists.
    """

    def __init__(self, message: str = "", run_id: UUID | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunPruned(RunExists):
    """The id is so old that a run of this id may have ended and been deleted: a new run would do its work again.

    Nothing was written, and the caller's transaction can go on.
    """


class InvalidRequest(SagaError):
    """The request does not fit the saga's request type.

    The message says what is wrong and where, and quotes nothing of the request. ``errors`` has the details for the
    sender of the request.
    """

    def __init__(self, message: str, errors: list[dict[str, object]]) -> None:
        super().__init__(message)
        self.errors = errors


class NotAwaited(SagaError):
    """A report of an operation that has not begun."""


class NoReport(Exception):
    """An accepted operation was not reported in time, so its outcome is unknown. It counts as a failed attempt."""


class ChildEnded(Exception):
    """A person has ended a child run otherwise than its parent needs it. A person must now look at both runs."""


class NotSent(Exception):
    """A request to a remote participant was not sent, so nothing has happened there."""


class DataTooLarge(SagaError):
    """A request, a result or the data of a confirmation is larger than ``SAGAS["DATA_LIMIT"]``.

    ``size`` and ``limit`` are in bytes of JSON. For a request it is the cause of an ``InvalidRequest``. For a step's
    result it is a fault of that run.
    """

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class UnknownConfirmation(SagaError):
    """The saga has no confirmation of this name."""


class DeadlineUnknown(SagaError):
    """The function of ``Confirmation(until=…)`` has not returned a ``datetime`` with a time zone."""


class RunNotFound(SagaError):
    """There is no run of this id."""


class Stale(SagaError):
    """The run has changed since the person looked at it. Nothing was done."""


class NotApplicable(SagaError):
    """A person's action does not apply to the run as it stands. Nothing was done."""


class NotFinished(SagaError):
    """A run still needs the data that should be erased. The message names the run."""


class NotErased(SagaError):
    """A database that has copies of the data cannot be reached. The message names the database. Erase again later."""


class IllegalTransition(SagaError):
    """The run did not stand where the caller expected it, or the table of transitions does not have the change."""


class AlreadyDecided(SagaError):
    """The run was decided the other way before: a confirmation after its cancel, or a cancel after its confirmation.

    It is also raised for a decision of a person about an escalation that is over. ``state`` is the state in which the
    run was found, under its lock.
    """

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class DecidedOtherwise(AlreadyDecided):
    """The shared decision of this key was made before, and it is another one: it is final.

    Nothing was written, and the caller's transaction can go on.

    Attributes:
        declined: whether the decision that stands is a refusal.
        data: its data; ``None`` for a refusal.
    """

    def __init__(self, message: str, *, declined: bool, data: dict[str, object] | None) -> None:
        super().__init__(message, "COMPENSATING" if declined else "CONFIRMING")
        self.declined = declined
        self.data = data


class InvalidDecision(InvalidArgument):
    """A person's decision about an escalation is incomplete: no name, no note, or an outcome that is not final."""


class Overloaded(SagaError):
    """New runs would wait too long. Try again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Locked(SagaError):
    """Another run holds the business key or waits for it, and this run was declared not to wait.

    ``key`` is the business key, ``holder`` the id of the run that holds it.
    """

    def __init__(self, message: str, *, key: str, holder: UUID) -> None:
        super().__init__(message)
        self.key = key
        self.holder = holder


class PoolInconsistent(SagaError):
    """A pool and its holds do not agree with what the run must hold: a row is missing, or a number is wrong.

    Something other than the engine has changed them. It is a fault of the operation that finds it.
    """


class Rejected(Exception):
    """The business says no: sold out, coupon used. Never retried; the run is compensated.

    Args:
        detail: one sentence for the customer.
        code: a stable word for programs, by default the class name.
        note: more for operators. Customers never read it.
    """

    #: Also for a class with a constructor of its own.
    note = ""

    def __init__(self, detail: str = "", *, code: str = "", note: str = "") -> None:
        # A lazy translation is made a text here: it is stored in the language of this process.
        self.detail = str(detail or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        self.code = str(code or type(self).__name__)
        self.note = str(note)
        super().__init__(self.detail)
