"""What a user may decide about runs: retry, confirm or cancel them; take, resume or resolve escalated ones.

The user asks for a decision by a POST and confirms it, with the reason, on a separate page, which says what would be
done to each run. ``sagas.operations.actions`` carries it out run by run, if the run is still as the page has shown it.
The run's log and Django's history record it with the user's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.auth.models import AbstractBaseUser
from django.db import Error
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sagas import limits
from sagas.admin import present
from sagas.admin.filters import OpenFilter
from sagas.db import ErrorKind, classify_error, close_session, describe_error, is_transient
from sagas.errors import SagaError
from sagas.models import Escalation, Run
from sagas.operations import actions
from sagas.states import State

if TYPE_CHECKING:
    from django.contrib import admin
    from django.utils.functional import _StrOrPromise as StrOrPromise

#: The most runs in one decision. Each is a transaction of its own, and all must fit in one request.
MOST = 100
#: The most runs that a message names. For more, the message gives their number.
_NAMED = 3
#: An id that no escalation has.
_NONE = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """One kind of decision.

    Attributes:
        action: name of the list's action.
        question: heading of the page that asks for confirmation.
        consequence: text on that page: what will happen.
        verb: label of the button.
        ask: label of the note that the user must write. With "" there is no note and no page; the decision is carried
            out at once.
        done: end of the success message, for one run.
        done_to_many: the same for several runs.
        of: what is done.
    """

    action: str
    question: StrOrPromise
    consequence: StrOrPromise
    verb: StrOrPromise
    ask: StrOrPromise
    done: StrOrPromise
    done_to_many: StrOrPromise
    of: actions.Action

    @property
    def permission(self) -> str:
        """The permission that the user needs."""
        return self.of.permission


CANCEL = Decision(
    action="cancel_runs",
    question=_("Cancel these runs?"),
    consequence=_(
        "Every step that is done will be undone, in reverse order. What is confirmed already stays as it is."
    ),
    verb=_("Cancel"),
    ask=_("Why"),
    done=_("is being undone"),
    done_to_many=_("are being undone"),
    of=actions.Cancel(),
)
RESUME = Decision(
    action="resume_runs",
    question=_("Resume these runs?"),
    consequence=_("Each goes back to where it stood when it was escalated, and tries again. Mend the cause first."),
    verb=_("Resume"),
    ask=_("What was mended"),
    done=_("is back at work"),
    done_to_many=_("are back at work"),
    of=actions.Resume(),
)
ACKNOWLEDGE = Decision(
    action="acknowledge_runs",
    question="",
    consequence="",
    verb=_("Acknowledge"),
    ask="",
    done=_("is acknowledged: no more notices of it are sent"),
    done_to_many=_("are acknowledged: no more notices of them are sent"),
    of=actions.Acknowledge(),
)
ASSIGN = Decision(
    action="assign_runs",
    question="",
    consequence="",
    verb=_("Assign to me"),
    ask="",
    done=_("is yours"),
    done_to_many=_("are yours"),
    of=actions.Assign(),
)
FAIL = Decision(
    action="fail_runs",
    question=_("Resolve these runs as FAILED?"),
    consequence=_(
        "They end here, and the engine undoes none of their steps any more. Do this only where every effect that is "
        "left has been undone by hand: what is still held stays held for ever. A payment, or whatever else has "
        "confirmed them, is given back all the same, unless giving it back is what has failed."
    ),
    verb=_("Resolve as FAILED"),
    ask=_("What was undone by hand"),
    done=_("is FAILED"),
    done_to_many=_("are FAILED"),
    of=actions.Resolve(State.FAILED.value),
)
SUCCEED = Decision(
    action="succeed_runs",
    question=_("Resolve these runs as SUCCEEDED?"),
    consequence=_(
        "They end here, and the engine confirms nothing more. Do this only where all that is left has been confirmed "
        "by hand."
    ),
    verb=_("Resolve as SUCCEEDED"),
    ask=_("What was confirmed by hand"),
    done=_("is SUCCEEDED"),
    done_to_many=_("are SUCCEEDED"),
    of=actions.Resolve(State.SUCCEEDED.value),
)
RETRY = Decision(
    action="retry_runs",
    question=_("Try these runs again now?"),
    consequence=_("Each waits for its next attempt, and makes it now. It counts as that attempt."),
    verb=_("Retry now"),
    ask=_("Why"),
    done=_("tries again now"),
    done_to_many=_("try again now"),
    of=actions.Retry(),
)
CONFIRM = Decision(
    action="confirm_runs",
    question=_("Confirm these runs by hand?"),
    consequence=_(
        "The confirmation that each waits for is taken on your word. From then on the run only goes forward."
    ),
    verb=_("Confirm"),
    ask=_("How you know that it has come"),
    done=_("is confirmed"),
    done_to_many=_("are confirmed"),
    of=actions.Confirm(),
)
PAUSE = Decision(
    action="pause_runs",
    question=_("Pause these runs?"),
    consequence=_("Nothing more is performed for them until they are unpaused. Confirmations are taken all the same."),
    verb=_("Pause"),
    ask=_("Why"),
    done=_("is paused"),
    done_to_many=_("are paused"),
    of=actions.Pause(),
)
UNPAUSE = Decision(
    action="unpause_runs",
    question=_("Let these runs go on?"),
    consequence=_("They go on where they stand. Their deadlines are later by the time of the pause."),
    verb=_("Unpause"),
    ask=_("Why"),
    done=_("goes on"),
    done_to_many=_("go on"),
    of=actions.Unpause(),
)
RERUN = Decision(
    action="rerun_runs",
    question=_("Run these again?"),
    consequence=_("Each is undone. A new run with the same request begins, and each of the two names the other."),
    verb=_("Run again"),
    ask=_("Why"),
    done=_("is run again"),
    done_to_many=_("are run again"),
    of=actions.Rerun(),
)
#: Decisions about a run for which nobody has been called.
OF_RUNS = (RETRY, CONFIRM, PAUSE, UNPAUSE, CANCEL, RERUN)
#: Decisions about an escalated run, in the order of the buttons: the mildest comes first.
OF_ESCALATIONS = (ASSIGN, ACKNOWLEDGE, RESUME, FAIL, SUCCEED)


class _Note(forms.Form):
    note = forms.CharField(max_length=1000, widget=forms.Textarea({"rows": 3}))


def decide(
    decision: Decision,
    model_admin: admin.ModelAdmin[Run],
    request: HttpRequest,
    queryset: QuerySet[Run],
    *,
    read: Sequence[int] = (),
    back_to: str = "run",
) -> HttpResponse | None:
    """Show the page that asks for confirmation. If this request confirms, carry the decision out and redirect.

    Args:
        decision: the decision.
        model_admin: the admin of runs, to which the confirmation is posted.
        request: the request.
        queryset: the runs.
        read: ids of the escalations that the user selected, if the request comes from the list of escalations.
        back_to: the list that the request comes from: "run" or "escalation".
    """
    runs = list(queryset.defer("request", "results").order_by("pk")[: MOST + 1])
    if len(runs) > MOST:
        messages.error(request, gettext("Choose at most %(most)d runs at once.") % {"most": MOST})
        return None
    escalations = _read(request, runs, read)
    seen = dict(said.split("/", 1) for said in request.POST.getlist("seen") if "/" in said)
    form = _Note(request.POST if "decided" in request.POST else None)
    form.fields["note"].label = decision.ask
    if not decision.ask or form.is_valid():
        note = form.cleaned_data["note"] if decision.ask else ""
        _carry_out(decision, model_admin, request, runs, note=note, escalations=escalations, seen=seen)
        name = f"{model_admin.admin_site.name}:sagas_run"
        if len(runs) == 1 and back_to == "run":
            return HttpResponseRedirect(reverse(f"{name}_change", args=[runs[0].pk]))
        return HttpResponseRedirect(reverse(f"{model_admin.admin_site.name}:sagas_{back_to}_changelist"))
    previews = actions.preview(decision.of, [run.pk for run in runs])
    context = {
        **model_admin.admin_site.each_context(request),
        "title": decision.question,
        "decision": decision,
        "runs": runs,
        "previews": [(found, present.word(found.state)) for found in previews],
        "summary": actions.summarize(previews) if len(previews) > 1 else [],
        # Back to the list that the request came from: a user of that list may lack the permission to see runs.
        "back_to": reverse(f"{model_admin.admin_site.name}:sagas_{back_to}_changelist"),
        # The unfiltered list: it also shows an escalation that somebody else has resolved meanwhile.
        "asked_in": "" if back_to == "run" else f"?{OpenFilter.parameter_name}=all",
        "selected": [run.pk for run in runs] if back_to == "run" else list(read),
        "may_look": model_admin.has_view_permission(request),
        "escalations": [escalation for escalation in escalations.values() if escalation],
        "form": form,
        "opts": Run._meta,
        "media": model_admin.media,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/sagas/run/decide.html", context)


def _read(request: HttpRequest, runs: Sequence[Run], chosen: Sequence[int]) -> dict[UUID, int | None]:
    """Find the escalation of each run that the user has read. It may have been resolved meanwhile.

    The confirmation page and the list of escalations send its id. The list of runs does not: for it, the open
    escalation is taken when the confirmation page is made. If the confirmation page sent no id, the result is
    ``_NONE``, so that the engine refuses a run that has an escalation by now.
    """
    said = [int(pk) for pk in request.POST.getlist("escalation") if pk.isascii() and pk.isdigit() and len(pk) < 19]
    of_runs = Escalation.objects.filter(run__in=[run.pk for run in runs]).order_by("pk")
    found = of_runs.filter(pk__in=[*said, *chosen]) if said or chosen else of_runs.filter(resolved_at__isnull=True)
    asked = "decided" in request.POST
    read = {} if asked and not said else dict(found.values_list("run_id", "pk"))
    return {run.pk: read.get(run.pk, _NONE if asked else None) for run in runs}


def _carry_out(
    decision: Decision,
    model_admin: admin.ModelAdmin[Run],
    request: HttpRequest,
    runs: Sequence[Run],
    *,
    note: str,
    escalations: Mapping[UUID, int | None],
    seen: Mapping[str, str],
) -> None:
    user = request.user
    assert isinstance(user, AbstractBaseUser)  # the admin admits only logged-in users
    done: list[Run] = []
    warnings: dict[str, list[Run]] = {}
    errors: dict[str, list[Run]] = {}
    for run in runs:
        try:
            actions.carry_out(
                decision.of,
                run.pk,
                by=user.get_username()[: limits.PERSON_NAME],
                reason=note,
                # A page that does not say what it has shown has shown nothing.
                seen=seen.get(str(run.pk), ""),
                escalation=escalations[run.pk],
            )
        except SagaError as error:
            # The run has changed since the user read it. The engine notices under the run's lock.
            warnings.setdefault(str(error).replace(str(run.pk), "…"), []).append(run)
        except Error as error:
            if not is_transient(error):
                raise
            errors.setdefault(_why_not(error), []).append(run)
        else:
            # The record is one for all readers, so its words are those of the code.
            with translation.override(None):
                verb = str(decision.verb)
            model_admin.log_change(request, run, f"{verb}: {note}" if note else verb)
            done.append(run)
    if done:
        end = decision.done if len(done) == 1 else decision.done_to_many
        messages.success(request, gettext("%(runs)s %(end)s.") % {"runs": _named(done), "end": end})
    for told, level in ((warnings, messages.WARNING), (errors, messages.ERROR)):
        for why, some in told.items():
            messages.add_message(request, level, f"{_named(some)}: {why}")


def _named(runs: Sequence[Run]) -> str:
    """Name up to three runs; for more, give their number: the messages stand above the list and must stay short."""
    if len(runs) <= _NAMED:
        return ", ".join(map(str, runs))
    told = ngettext("%(count)d run (%(some)s, …)", "%(count)d runs (%(some)s, …)", len(runs))
    return told % {"count": len(runs), "some": ", ".join(map(str, runs[:_NAMED]))}


def _why_not(error: Error) -> str:
    """Explain why the database did not carry out a decision, and whether anything was changed."""
    kind = classify_error(error)
    if kind in {ErrorKind.COLLISION, ErrorKind.CANCELLED}:
        return gettext("locked by a step that takes long. Nothing was done to it; try again.")
    close_session()
    if kind is ErrorKind.LOST:
        told = gettext(
            "the database could not do it (%(error)s). Nothing was done to it, as far as is known: look before you try "
            "again."
        )
    else:
        told = gettext("the database could not do it (%(error)s). Nothing was done to it; try again.")
    return told % {"error": describe_error(error)}
