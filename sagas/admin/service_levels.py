"""The board of service levels: what is left of each error budget, how fast it is spent, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from sagas.admin import present
from sagas.decisions.burn_rates import PAIRS, rate
from sagas.models import Run
from sagas.observability import board
from sagas.observability.report import Times
from sagas.store.burn_rates import Incident


def urls(of_runs: admin.ModelAdmin[Run]) -> list[URLPattern]:
    """The URL of the page, for the admin of runs."""

    def page(request: HttpRequest) -> HttpResponseBase:
        if not of_runs.has_view_permission(request):
            raise PermissionDenied
        context = {
            **of_runs.admin_site.each_context(request),
            "title": _("Service levels"),
            "opts": of_runs.model._meta,
            "media": of_runs.media,
            **_context(),
        }
        return TemplateResponse(request, "admin/sagas/run/service_levels.html", context)

    view: Any = of_runs.admin_site.admin_view(require_safe(page))
    return [path("service-levels/", view, name="sagas_run_service_levels")]


def _context() -> Mapping[str, Any]:
    seen = board.look()
    return {
        "seen": seen,
        "pairs": [f"{pair.factor:g} × {length(pair.long)}, {length(pair.short)}" for pair in PAIRS],
        "levels": [
            (
                level,
                f"{level.objective.target * 100:.6g} %",
                present.span(level.objective.within),
                level.runs.good + level.runs.bad,
                None if level.left is None else f"{level.left * 100:,.1f} %",
                level.left is not None and level.left < 0,
                [(rate(burn.long), rate(burn.short), burn.is_burning) for burn in level.burns],
            )
            for level in seen.levels
        ],
        "sagas": [
            (saga, list(_rows(saga)), [_incident(one) for one in saga.incidents])
            for saga in seen.sagas
            if saga.runs or saga.stages or saga.incidents
        ],
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of times: what took how long."""

    what: str
    label: SafeString | str
    number: int
    faults: int
    mean: str
    shares: tuple[str, str, str]


def _rows(saga: board.Saga) -> Iterator[Row]:
    for outcome, times in saga.runs:
        yield _row(_("whole run"), present.label(outcome), times)
    if saga.undo is not None:
        yield _row(_("compensation lag"), _("back"), saga.undo)
    for stage in saga.stages:
        yield _row(stage_name(stage.name), _("back") if stage.is_undo else _("forward"), stage.times, stage.faults)


def _row(what: str, label: SafeString | str, times: Times, faults: int = 0) -> Row:
    p50, p95, p99 = (_bound(times.percentile(share)) for share in (0.5, 0.95, 0.99))
    mean = present.span(timedelta(seconds=times.seconds / times.number))
    return Row(what, label, times.number, faults, mean, (p50, p95, p99))


def _bound(seconds: float | None) -> str:
    return _("over 1 h") if seconds is None else f"≤ {present.span(timedelta(seconds=seconds))}"


def stage_name(stage: str) -> str:
    """A stage for people: a step with its operation, or an event."""
    step, _dot, operation = stage.rpartition(".")
    return present.place(step, operation) if step else operation


def length(window: timedelta) -> str:
    """A window without its zero part."""
    minutes = int(window.total_seconds() // 60)
    if minutes % 1440 == 0:
        return _("%(number)s d") % {"number": minutes // 1440}
    if minutes % 60 == 0:
        return _("%(number)s h") % {"number": minutes // 60}
    return _("%(number)s min") % {"number": minutes}


def _incident(one: Incident) -> Mapping[str, Any]:
    evidence = one.evidence
    ids = evidence.get("runs") or [run for error in evidence.get("errors", []) for run in error["runs"]]
    asked = {"q": " ".join(ids)} if ids else {"saga": one.saga}
    return {
        "row": one,
        "burn": f"{rate(one.burn_long)} {length(PAIRS[one.pair].long)}",
        "stage": stage_name(one.stage) if one.stage else present.NONE,
        "errors": [
            f"{error['number']} × {error['code']} · {stage_name(error['at'])}: {error['text']}"
            for error in evidence.get("errors", [])
        ],
        "url": f"{reverse('admin:sagas_run_changelist')}?{urlencode(asked)}",
    }
