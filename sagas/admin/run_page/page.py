"""What the template of a run's page shows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from sagas.admin import present
from sagas.admin.run_page import failures, log, words
from sagas.admin.waits import waits_of
from sagas.conf import config
from sagas.decisions.progress import StepState
from sagas.diagrams import step_graph, svg, waterfall
from sagas.diagrams.step_graph import Look
from sagas.hooks import LinkedRun, find_links
from sagas.models import Run
from sagas.operations import inspection
from sagas.operations.inspection import Inspection
from sagas.operations.summary import summarise
from sagas.states import State

logger = logging.getLogger(__name__)

#: Who has it reads what is personal in runs, if they ask for it.
PERSONAL = "sagas.view_personal_data"
#: The most characters of a request, of results or of a confirmation on the page; the export has all.
_MOST_DATA = 8_000
#: Decisions of people that are shown; Django's history has all.
_MOST_DECISIONS = 20


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing as SVG, and the same as a table."""

    svg: SafeString
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def make_context(request: HttpRequest, run: Run, *, site: str) -> dict[str, Any]:
    """Read a run, and make the context of its page; what users may decide comes from elsewhere.

    Args:
        request: the request; its URL says what of the log is shown, and whether what is personal is.
        run: the run.
        site: the name of the admin's site, for links.
    """
    may_see_personal = request.user.has_perm(PERSONAL)
    shows_personal = may_see_personal and request.GET.get("personal") == "shown"
    if shows_personal:
        # A page that is only looked at writes nothing to the database.
        logger.warning("sagas: %s reads what is personal in run %s", request.user.get_username(), run.pk)
    found = inspection.inspect(run, shows_personal=shows_personal)
    held_up = waits_of([run]).get(run.pk, "")
    spoken = inspection.situation(found, held_up=held_up)
    page = f"{site}:sagas_run_change"
    return {
        "sentence": summarise(spoken, words.of_sentences()),
        "state_label": present.label(run.state),
        "suggestion": found.open_escalation.suggestion if found.open_escalation is not None else "",
        "facts": _facts(found, held_up),
        "is_cut": found.is_cut,
        "waterfall": _picture(waterfall.layout(found.facts, found.timeline, words.of_drawings()), "saga-waterfall"),
        "graph": _graph(found, page),
        "failures": failures.of_log(found.entries),
        "log": log.make_page(run, found.entries, log.Query.read(request.GET)),
        "reason": present.pretty(run.reason),
        "request_text": _data(found.request),
        "results_text": _data(found.results or None),
        "confirmations": [(c.name, present.moment(c.received_at), _data(c.data)) for c in found.confirmations],
        "escalations": [_escalation(each) for each in found.escalations],
        "family": [
            (relative, "·" * relative.depth, present.label(relative.state), reverse(page, args=[relative.id]))
            for relative in found.family
            if len(found.family) > 1
        ],
        "links": _links(found),
        "people": [*log.people(found.entries), *_decisions(run)][-_MOST_DECISIONS:],
        "may_see_personal": may_see_personal,
        "shows_personal": shows_personal,
        "export_url": reverse(f"{site}:sagas_run_export", args=[run.pk]),
    }


def _facts(found: Inspection, held_up: str) -> list[tuple[str, str]]:
    run = found.run
    failed = max((step.failed for step in found.view.steps if step.state == StepState.FAILING), default=0)
    lines = [
        (gettext("Run"), str(run.pk)),
        (gettext("Saga"), gettext("%(saga)s version %(version)d") % {"saga": run.saga, "version": run.version}),
        (gettext("Business key"), run.business_key),
        (gettext("Stands at"), present.standing(run, [e for e in found.escalations if e.resolved_at is None])),
        (gettext("Held up"), held_up),
        (gettext("Accepted"), present.moment(run.created_at)),
        (gettext("Started"), present.moment(run.started_at)),
        (gettext("Finished"), present.moment(run.finished_at)),
        (gettext("Duration") if run.finished_at else gettext("Age"), present.age(run)),
        (gettext("Confirm deadline"), present.moment(run.deadline)),
        (gettext("Decided with"), f"{run.decision_name}: {run.decision_key}" if run.decision_key else ""),
        (gettext("Looked at again"), present.moment(run.due_at)),
        (gettext("Failed attempts here"), str(failed) if failed else ""),
        (gettext("Trace"), run.trace_id.hex),
    ]
    return [(name, value) for name, value in lines if value and value != present.NONE]


def _picture(drawn: Any, name: str) -> Picture:
    # Everything in it that is not a number is escaped where it is written.
    return Picture(mark_safe(svg.write(drawn, name=name)), drawn.header, drawn.rows)  # noqa: S308


def _graph(found: Inspection, page: str) -> Picture | None:
    if (graph := found.graph) is None:
        return None
    children = {each.step: each.id for each in found.family if each.parent_id == found.run.pk}
    looks: dict[str, Look] = {}
    for step in found.view.steps:
        href = reverse(page, args=[children[step.name]]) if step.name in children else ""
        looks[step.name] = Look(present.tone(step.state), present.word(step.state), href)
    for confirmation in found.definition.confirmations if found.definition is not None else ():
        came = confirmation.name in found.view.confirmations
        looks[confirmation.name] = Look("good" if came else "still", gettext("came") if came else gettext("not come"))
    title = gettext("The steps of %(saga)s") % {"saga": found.run.saga}
    return _picture(step_graph.layout(graph, title, looks, words.of_drawings()), "saga-graph")


def _escalation(each: Any) -> Mapping[str, str]:
    resolved = present.moment(each.resolved_at)
    return {
        "raised": present.moment(each.created_at),
        "place": present.place(each.step, each.operation) or present.word(each.state),
        "error": present.cut(present.pretty(each.error), 2_000),
        "suggestion": each.suggestion,
        "taken": present.taken(each),
        "resolved": f"{resolved} {present.word(each.resolution)}".strip() if each.resolved_at else present.NONE,
        "by": each.resolved_by,
        "note": each.note,
    }


def _data(data: object) -> str:
    return present.cut(present.pretty(data), _MOST_DATA)


def _links(found: Inspection) -> list[tuple[str, str]]:
    run = found.run
    about = LinkedRun(run.pk, run.saga, run.business_key, State(run.state), found.request, found.results)
    links = find_links(about)
    if trace_url := config().trace_url:
        links.append((gettext("Trace"), trace_url.replace("{trace_id}", run.trace_id.hex)))
    return links


def _decisions(run: Run) -> list[tuple[str, str, str, str]]:
    """What users did by the admin, as Django's history has it."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Run), object_id=str(run.pk)
    ).select_related("user")
    newest = list(entries.order_by("-action_time")[:_MOST_DECISIONS])
    return [
        (present.second(entry.action_time), entry.user.get_username(), gettext("decided here"), entry.change_message)
        for entry in reversed(newest)
    ]
