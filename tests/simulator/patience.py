"""Which runs wait for a person although none has them: for one that a person has. Asked by the time and by the checks.

SQL conditions on a row of ``sagas_run AS run``.
"""

from __future__ import annotations

#: Somebody in front of it, in a line at a business key, is such a one.
IN_LINE = """
(run.state = 'PENDING' AND EXISTS (SELECT FROM sagas_lock WHERE run_id = run.id)
AND EXISTS (SELECT FROM sagas_lock JOIN sagas_run AS holder ON run_id = holder.id WHERE holder.state = 'ESCALATED'))
"""
#: Its child, its parent or its parent's other child is.
IN_FAMILY = """
EXISTS (SELECT FROM sagas_run AS other WHERE other.state = 'ESCALATED'
    AND (other.id = run.parent_id OR other.parent_id IN (run.id, run.parent_id)))
"""
