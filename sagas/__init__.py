"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` it in a transaction, and run Celery workers:
``celery -A sagas worker`` starts one. ``sagas.pool`` has a ready-made TCC resource; ``sagas.selectors`` reads runs.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here in a line, and not by the first import that fails
    msg = f"sagas: Python {sys.version.split()[0]} is too old: the engine needs 3.11 or later."
    raise ImportError(msg)

from sagas.api import acknowledge, admit, assign, cancel, confirm, erase, refuse, report, resolve, resume, start
from sagas.definition.confirmations import Confirmation
from sagas.definition.events import Event, Events
from sagas.definition.locks import Lock
from sagas.definition.participants import (
    Accepted,
    Call,
    Done,
    Operation,
    Outcome,
    Participant,
    TccResource,
    many,
)
from sagas.definition.personal_data import Personal
from sagas.definition.retry import Retry
from sagas.definition.saga import Saga
from sagas.definition.steps import Parallel, Step, Tcc
from sagas.engine.erasure import Erasure
from sagas.engine.lifecycle import Receipt
from sagas.engine.subsagas import SubSaga
from sagas.errors import (
    AlreadyDecided,
    DataTooLarge,
    DefinitionError,
    InvalidArgument,
    InvalidDecision,
    InvalidRequest,
    Locked,
    NoReport,
    NotAwaited,
    NotErased,
    NotFinished,
    Overloaded,
    Rejected,
    RunExists,
    RunNotFound,
    SagaError,
    UnknownConfirmation,
    UnknownSaga,
    UnknownStep,
)
from sagas.hooks import Transition, on_transition
from sagas.states import State

__all__ = [
    "Accepted",
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "DataTooLarge",
    "DefinitionError",
    "Done",
    "Erasure",
    "Event",
    "Events",
    "InvalidArgument",
    "InvalidDecision",
    "InvalidRequest",
    "Lock",
    "Locked",
    "NoReport",
    "NotAwaited",
    "NotErased",
    "NotFinished",
    "Operation",
    "Outcome",
    "Overloaded",
    "Parallel",
    "Participant",
    "Personal",
    "Receipt",
    "Rejected",
    "Retry",
    "RunExists",
    "RunNotFound",
    "Saga",
    "SagaError",
    "State",
    "Step",
    "SubSaga",
    "Tcc",
    "TccResource",
    "Transition",
    "UnknownConfirmation",
    "UnknownSaga",
    "UnknownStep",
    "acknowledge",
    "admit",
    "assign",
    "cancel",
    "confirm",
    "erase",
    "many",
    "on_transition",
    "refuse",
    "report",
    "resolve",
    "resume",
    "start",
]
