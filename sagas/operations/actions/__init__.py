"""What people do about runs: one layer under the admin, ``manage.py sagas``, APIs and tests.

An action (``action``) says to which runs it applies and what it would do, in words and as exact effects, before it does
it. ``carrying_out`` is the one way to do it: one transaction under the run's lock, refused if the run has moved on
since the person looked, with an audit entry in the run's log, which nobody can change. ``runs``, ``escalated``,
``rerunning`` and ``pausing`` are the actions; ``situation`` is what is known of a run, and ``effects`` what the engine
would do.
"""

from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.carrying_out import CarriedOut, Preview, applying, carry_out, preview, summarize
from sagas.operations.actions.effects import Effect
from sagas.operations.actions.escalated import Acknowledge, Assign, Resolve, Resume
from sagas.operations.actions.pausing import (
    Pause,
    Target,
    Unpause,
    open_pauses,
    pause,
    pauses_as_json,
    plan_pause,
    plan_unpause,
    unpause,
)
from sagas.operations.actions.rerunning import Rerun, reruns_of
from sagas.operations.actions.runs import Cancel, Confirm, Retry
from sagas.operations.actions.situation import Situation

__all__ = [
    "Acknowledge",
    "Action",
    "Assign",
    "Cancel",
    "CarriedOut",
    "Confirm",
    "Effect",
    "Pause",
    "Plan",
    "Preview",
    "Rerun",
    "Resolve",
    "Resume",
    "Retry",
    "Situation",
    "Target",
    "Unpause",
    "applying",
    "carry_out",
    "open_pauses",
    "pause",
    "pauses_as_json",
    "plan_pause",
    "plan_unpause",
    "preview",
    "reruns_of",
    "summarize",
    "unpause",
]
