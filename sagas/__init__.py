"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` it in a transaction, and run Celery workers.
``sagas.pool`` has a ready-made TCC resource; ``sagas.selectors`` reads runs; ``sagas.worker.configure``
sets up a Celery app.
"""

from sagas.api import admit, cancel, confirm, erase, resume, start
from sagas.definition import Confirmation, Saga, Step, Tcc
from sagas.erasure import Erasure
from sagas.errors import (
    AlreadyDecided,
    DataTooLarge,
    DefinitionError,
    InvalidRequest,
    NotFinished,
    Overloaded,
    Rejected,
    RunNotFound,
    SagaError,
    UnknownConfirmation,
    UnknownSaga,
    UnknownStep,
)
from sagas.lifecycle import Receipt
from sagas.participant import Call, Done, Operation, Outcome, Participant, TccResource, many
from sagas.personal import Personal
from sagas.retry import Retry
from sagas.states import State

__all__ = [
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "DataTooLarge",
    "DefinitionError",
    "Done",
    "Erasure",
    "InvalidRequest",
    "NotFinished",
    "Operation",
    "Outcome",
    "Overloaded",
    "Participant",
    "Personal",
    "Receipt",
    "Rejected",
    "Retry",
    "RunNotFound",
    "Saga",
    "SagaError",
    "State",
    "Step",
    "Tcc",
    "TccResource",
    "UnknownConfirmation",
    "UnknownSaga",
    "UnknownStep",
    "admit",
    "cancel",
    "confirm",
    "erase",
    "many",
    "resume",
    "start",
]
