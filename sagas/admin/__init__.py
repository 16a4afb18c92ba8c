"""The engine in Django's admin: find a run, see what happened to it, put it right, on record.

``runs``, ``escalations``, ``breakers`` and ``locks`` are the pages; ``decisions`` is what a person may do;
``present`` makes text of facts; ``filters`` and ``paging`` keep the lists quick over millions of runs.
"""

from sagas.admin.breakers import BreakerAdmin
from sagas.admin.escalations import EscalationAdmin
from sagas.admin.locks import LockAdmin
from sagas.admin.runs import RunAdmin

__all__ = ["BreakerAdmin", "EscalationAdmin", "LockAdmin", "RunAdmin"]
