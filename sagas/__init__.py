"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` a run of it in a transaction, and run Celery workers, for example
by ``celery -A sagas worker``. ``sagas.pool`` has a ready-made TCC resource, ``sagas.selectors`` reads runs, and
``sagas.errors`` has every error that the engine raises on purpose.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here in a line, and not by the first import that fails
    msg = f"sagas: Python {sys.version.split()[0]} is too old: the engine needs 3.11 or later."
    raise ImportError(msg)

from sagas.api import (
    acknowledge,
    assign,
    cancel,
    check_admission,
    confirm,
    decline,
    erase,
    report,
    resolve,
    resume,
    start,
)
from sagas.definition.confirmations import Confirmation
from sagas.definition.events import Event, Events
from sagas.definition.locks import Lock
from sagas.definition.participants import Accepted, Call, Done, Operation, Outcome, TccResource, set_based
from sagas.definition.personal_data import Personal
from sagas.definition.retry import Retry
from sagas.definition.saga import Saga
from sagas.definition.steps import Parallel, Step, Tcc
from sagas.engine.subsagas import SubSaga
from sagas.errors import AlreadyDecided, InvalidRequest, Locked, Overloaded, Rejected, RunNotFound
from sagas.hooks import Transition, on_transition
from sagas.states import State

__all__ = [
    "Accepted",
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "Done",
    "Event",
    "Events",
    "InvalidRequest",
    "Lock",
    "Locked",
    "Operation",
    "Outcome",
    "Overloaded",
    "Parallel",
    "Personal",
    "Rejected",
    "Retry",
    "RunNotFound",
    "Saga",
    "State",
    "Step",
    "SubSaga",
    "Tcc",
    "TccResource",
    "Transition",
    "acknowledge",
    "assign",
    "cancel",
    "check_admission",
    "confirm",
    "decline",
    "erase",
    "on_transition",
    "report",
    "resolve",
    "resume",
    "set_based",
    "start",
]
