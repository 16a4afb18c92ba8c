"""SQL conditions for runs that wait for an escalated run, and so for an operator. The clock and the checks use them.

Each is a condition on a row of ``sagas_run AS run``.
"""

from __future__ import annotations

#: The run waits for a lock whose holder is escalated.
WAITS_FOR_LOCK = """
(run.state = 'PENDING' AND EXISTS (SELECT FROM sagas_lock WHERE run_id = run.id)
AND EXISTS (SELECT FROM sagas_lock JOIN sagas_run AS holder ON run_id = holder.id WHERE holder.state = 'ESCALATED'))
"""
#: The run's child, its parent or another child of its parent is escalated.
WAITS_FOR_FAMILY = """
EXISTS (SELECT FROM sagas_run AS other WHERE other.state = 'ESCALATED'
    AND (other.id = run.parent_id OR other.parent_id IN (run.id, run.parent_id)))
"""
