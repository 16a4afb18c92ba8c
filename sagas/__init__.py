"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` it in a transaction, and run Celery workers.
``sagas.pool`` has a ready-made TCC resource; ``sagas.selectors`` reads runs; ``sagas.worker.configure``
sets up a Celery app.
"""

from sagas.api import admit, cancel, confirm, refuse, report, resume, start
from sagas.definition import Confirmation, Parallel, Saga, Step, Tcc
from sagas.errors import (
    AlreadyDecided,
    DefinitionError,
    InvalidRequest,
    Locked,
    NotAwaited,
    Overloaded,
    Rejected,
    RunNotFound,
    SagaError,
    UnknownConfirmation,
    UnknownSaga,
    UnknownStep,
)
from sagas.lifecycle import Receipt
from sagas.locks import Lock
from sagas.nested import SubSaga
from sagas.participant import Accepted, Call, Done, Operation, Outcome, Participant, TccResource, many
from sagas.retry import Retry
from sagas.states import State

__all__ = [
    "Accepted",
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "DefinitionError",
    "Done",
    "InvalidRequest",
    "Lock",
    "Locked",
    "NotAwaited",
    "Operation",
    "Outcome",
    "Overloaded",
    "Parallel",
    "Participant",
    "Receipt",
    "Rejected",
    "Retry",
    "RunNotFound",
    "Saga",
    "SagaError",
    "State",
    "Step",
    "SubSaga",
    "Tcc",
    "TccResource",
    "UnknownConfirmation",
    "UnknownSaga",
    "UnknownStep",
    "admit",
    "cancel",
    "confirm",
    "many",
    "refuse",
    "report",
    "resume",
    "start",
]
