"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` it in a transaction, and run Celery workers.
``sagas.pool`` has a ready-made TCC resource; ``sagas.selectors`` reads runs; ``sagas.worker.configure``
sets up a Celery app.
"""

from sagas.api import acknowledge, admit, assign, cancel, confirm, resolve, resume, start
from sagas.definition import Confirmation, Saga, Step, Tcc
from sagas.errors import (
    AlreadyDecided,
    DefinitionError,
    InvalidDecision,
    InvalidRequest,
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
from sagas.retry import Retry
from sagas.states import State

__all__ = [
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "DefinitionError",
    "Done",
    "InvalidDecision",
    "InvalidRequest",
    "Operation",
    "Outcome",
    "Overloaded",
    "Participant",
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
    "acknowledge",
    "admit",
    "assign",
    "cancel",
    "confirm",
    "many",
    "resolve",
    "resume",
    "start",
]
