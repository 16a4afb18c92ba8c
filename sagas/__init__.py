"""Durable, compensated business transactions for Django and Celery: sagas and TCC.

Declare a ``Saga`` in an app's ``sagas.py``, ``start`` a run of it in a transaction, and run Celery workers, for example
by ``celery -A sagas worker``. ``sagas.pool`` has a ready-made TCC resource, ``sagas.selectors`` reads runs, and
``sagas.errors`` has every error that the engine raises on purpose.
"""

import sys

#: The only place that has it: the wheel, the checks and the changelog's test read it here.
__version__ = "0.1.0"

if sys.version_info < (3, 11):  # noqa: UP036 - said here in a line, and not by the first import that fails
    msg = f"sagas: Python {sys.version.split()[0]} is too old: the engine needs 3.11 or later."
    raise ImportError(msg)

from sagas.api import (
    acancel,
    acknowledge,
    aconfirm,
    adecide,
    adecline,
    assign,
    astart,
    cancel,
    check_admission,
    confirm,
    confirm_sql,
    decide,
    decline,
    erase,
    report,
    resolve,
    resume,
    start,
    start_sql,
)
from sagas.definition.confirmations import Confirmation
from sagas.definition.events import Event, Events
from sagas.definition.locks import Lock
from sagas.definition.objectives import Objective
from sagas.definition.participants import (
    Accepted,
    Call,
    Done,
    Operation,
    Outcome,
    TccResource,
    locking,
    no_lock_keys,
    set_based,
)
from sagas.definition.personal_data import Personal
from sagas.definition.retry import Retry
from sagas.definition.saga import Saga
from sagas.definition.steps import Parallel, Step, Tcc
from sagas.engine.subsagas import SubSaga
from sagas.errors import AlreadyDecided, InvalidRequest, Locked, Overloaded, Rejected, RunNotFound
from sagas.hooks import LinkedRun, PrunedRun, Transition, on_prune, on_tick, on_transition, run_links
from sagas.listeners import on_event
from sagas.states import State
from sagas.waiting import await_run, wait

__all__ = [
    "Accepted",
    "AlreadyDecided",
    "Call",
    "Confirmation",
    "Done",
    "Event",
    "Events",
    "InvalidRequest",
    "LinkedRun",
    "Lock",
    "Locked",
    "Objective",
    "Operation",
    "Outcome",
    "Overloaded",
    "Parallel",
    "Personal",
    "PrunedRun",
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
    "acancel",
    "acknowledge",
    "aconfirm",
    "adecide",
    "adecline",
    "assign",
    "astart",
    "await_run",
    "cancel",
    "check_admission",
    "confirm",
    "confirm_sql",
    "decide",
    "decline",
    "erase",
    "locking",
    "no_lock_keys",
    "on_event",
    "on_prune",
    "on_tick",
    "on_transition",
    "report",
    "resolve",
    "resume",
    "run_links",
    "set_based",
    "start",
    "start_sql",
    "wait",
]
