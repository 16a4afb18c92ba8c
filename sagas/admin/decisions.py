"""What a person may decide about runs: cancel them, or resume those that were escalated.

Asked for by a POST, confirmed on a page of its own with the reason, carried out by the engine run by run, under
each run's lock, and recorded with the user's name: in the run's log and in Django's own history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.auth.models import AbstractBaseUser
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from sagas import api
from sagas.errors import SagaError
from sagas.models import Run
from sagas.states import State

if TYPE_CHECKING:
    from django.contrib import admin

#: Runs that one decision may concern: each is a transaction, and the request must end.
MOST = 100
#: The log's column for who did it.
_NAME_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that may be decided.

    Attributes:
        action: its name among the list's actions.
        question: heading of the page that asks for confirmation.
        consequence: what will happen, said before it does.
        verb: on the button.
        ask: what the note must tell.
        done: what is said of a run afterwards.
        carry_out: tells the engine; takes the run's id, the note, and who decided.
    """

    action: str
    question: str
    consequence: str
    verb: str
    ask: str
    done: str
    carry_out: Callable[[UUID, str, str], State]


CANCEL = Decision(
    action="cancel_runs",
    question="Cancel these runs?",
    consequence="Every step that is done will be undone, in reverse order. What is confirmed already stays as it is.",
    verb="Cancel",
    ask="Why",
    done="is being undone",
    carry_out=lambda run_id, note, by: api.cancel(run_id, reason=note, by=by),
)
RESUME = Decision(
    action="resume_runs",
    question="Resume these runs?",
    consequence="Each goes back to where it stood when it was escalated, and tries again. Mend the cause first.",
    verb="Resume",
    ask="What was mended",
    done="is back at work",
    carry_out=lambda run_id, note, by: api.resume(run_id, by=by, note=note),
)


class _Note(forms.Form):
    note = forms.CharField(max_length=1000, widget=forms.Textarea({"rows": 3}))


def decide(
    decision: Decision, model_admin: admin.ModelAdmin[Run], request: HttpRequest, queryset: QuerySet[Run]
) -> HttpResponse | None:
    """Ask for confirmation; once it is given, carry the decision out, and go back to where it was asked for."""
    runs = list(queryset.defer("request", "results").order_by("pk")[: MOST + 1])
    if len(runs) > MOST:
        messages.error(request, f"Choose at most {MOST} runs at once.")
        return None
    form = _Note(request.POST if "decided" in request.POST else None)
    form.fields["note"].label = decision.ask
    if form.is_valid():
        _carry_out(decision, model_admin, request, runs, form.cleaned_data["note"])
        name = f"{model_admin.admin_site.name}:sagas_run"
        if len(runs) == 1:
            return HttpResponseRedirect(reverse(f"{name}_change", args=[runs[0].pk]))
        return HttpResponseRedirect(reverse(f"{name}_changelist"))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": decision.question,
        "decision": decision,
        "runs": runs,
        "form": form,
        "opts": Run._meta,
        "media": model_admin.media,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/sagas/run/decide.html", context)


def _carry_out(
    decision: Decision, model_admin: admin.ModelAdmin[Run], request: HttpRequest, runs: Sequence[Run], note: str
) -> None:
    user = request.user
    assert isinstance(user, AbstractBaseUser)  # the admin lets nobody else in
    for run in runs:
        try:
            decision.carry_out(run.pk, note, user.get_username()[:_NAME_LIMIT])
        except SagaError as error:
            # Somebody or something was quicker; the engine says so under the run's lock.
            messages.warning(request, f"{run}: {error}")
        except OperationalError:
            messages.error(request, f"{run} is locked by a step that takes long. Nothing was done to it; try again.")
        else:
            model_admin.log_change(request, run, f"{decision.verb}: {note}")
            messages.success(request, f"{run} {decision.done}.")
