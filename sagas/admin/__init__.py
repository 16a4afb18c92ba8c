"""The engine in Django's admin: users find a run, see what happened to it, and put it right. All of it is on record.

``runs``, ``escalations``, ``breakers``, ``locks``, ``pauses`` and ``shared_decisions`` are the pages. ``decisions`` is
what a user may do. ``present`` formats values as text. ``filters`` and ``paging`` keep the lists fast over millions of
runs.
"""

from sagas.admin.breakers import BreakerAdmin
from sagas.admin.escalations import EscalationAdmin
from sagas.admin.locks import LockAdmin
from sagas.admin.pauses import PauseAdmin
from sagas.admin.runs import RunAdmin
from sagas.admin.shared_decisions import SharedDecisionAdmin

__all__ = ["BreakerAdmin", "EscalationAdmin", "LockAdmin", "PauseAdmin", "RunAdmin", "SharedDecisionAdmin"]
