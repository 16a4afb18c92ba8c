"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` it in a transaction, and run Celery workers:
``celery -A sagas worker`` starts one. ``sagas.pool`` has a ready-made TCC resource; ``sagas.selectors`` reads runs.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here in a line, and not by the first import that fails
    msg = f"sagas: Python {sys.version.split()[0]} is too old: the engine needs 3.11 or later."
    raise ImportError(msg)

from sagas.api import acknowledge, admit, assign, cancel, confirm, erase, refuse, report, resolve, resume, start
from sagas.confirmations import Confirmation
from sagas.erasure import Erasure
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
from sagas.events import Event, Events
from sagas.hooks import Transition, on_transition
from sagas.lifecycle import Receipt
from sagas.locks import Lock
from sagas.nested import SubSaga
from sagas.participant import Accepted, Call, Done, Operation, Outcome, Participant, TccResource, many
from sagas.personal import Personal
from sagas.retry import Retry
from sagas.saga import Saga
from sagas.states import State
from sagas.steps import Parallel, Step, Tcc

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
