"""The heat map of a saga's lifecycle: when runs stayed in which stage longer than they usually do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from sagas import store
from sagas.admin import present
from sagas.admin.service_levels import length, stage_name
from sagas.definition import registry
from sagas.diagrams import heat_map as drawing
from sagas.diagrams import svg
from sagas.diagrams.heat_map import Cell, Group, Lane, Map, Moment, Row, Span
from sagas.models import Run
from sagas.observability import heat_map
from sagas.observability.heat_map import HeatMap

#: How long the map is, by the name of it in the URL: the length of a part in minutes, and how many.
RANGES = {"1h": (3, 20), "6h": (15, 24), "24h": (60, 24), "7d": (480, 21)}
#: What the colours say.
SHOWN = {"p95": gettext_lazy("p95 against the usual"), "count": gettext_lazy("number of stays")}
#: Runs that a cell leads to: their ids stand in a URL.
LISTED = 40


def urls(of_runs: admin.ModelAdmin[Run]) -> list[URLPattern]:
    """The URLs of the page, and of the runs of a cell, for the admin of runs."""

    def guarded(view: Any) -> Any:
        def asked_first(request: HttpRequest) -> HttpResponseBase:
            if not of_runs.has_view_permission(request):
                raise PermissionDenied
            response: HttpResponseBase = view(of_runs, request)
            return response

        return of_runs.admin_site.admin_view(require_safe(asked_first))

    return [
        path("heat-map/", guarded(_page), name="sagas_run_heat_map"),
        path("heat-map/runs/", guarded(_runs), name="sagas_run_heat_map_runs"),
    ]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the URL asks for; what it does not know is left out."""

    saga: str
    span: str
    shown: str

    @classmethod
    def of(cls, request: HttpRequest) -> Chosen:
        """Read it."""
        sagas = _sagas()
        saga, span, shown = (request.GET.get(name, "") for name in ("saga", "time", "show"))
        objectives = [name for name in registry.objectives() if name in sagas]
        first = next(iter(sorted(objectives) or sagas), "")
        return cls(
            saga if saga in sagas else first, span if span in RANGES else "6h", shown if shown in SHOWN else "p95"
        )

    def query(self, **other: str) -> str:
        """The query of a URL, with something else in place of what is chosen."""
        return "?" + urlencode({"saga": self.saga, "time": self.span, "show": self.shown} | other)


def _sagas() -> list[str]:
    return list(dict.fromkeys(definition.name for definition in registry.all_definitions()))


def _page(of_runs: admin.ModelAdmin[Run], request: HttpRequest) -> HttpResponse:
    chosen = Chosen.of(request)
    minutes, parts = RANGES[chosen.span]
    seen = heat_map.look(chosen.saga, width=timedelta(minutes=minutes), parts=parts)
    drawn = _draw(seen, chosen)
    context = {
        **of_runs.admin_site.each_context(request),
        "title": _("Heat map of the lifecycle"),
        "opts": of_runs.model._meta,
        "media": of_runs.media,
        "chosen": chosen,
        "sagas": [(saga, chosen.query(saga=saga)) for saga in _sagas()],
        "ranges": [(name, length(_length(name)), chosen.query(time=name)) for name in RANGES],
        "shown": [(name, text, chosen.query(show=name)) for name, text in SHOWN.items()],
        "has_cells": bool(seen.stays),
        # Everything in it that is not a number is escaped where it is written.
        "svg": _svg(drawn),
        "table": list(_table(seen)),
        "levels": [f"{level:g} ×" for level in heat_map.LEVELS],
        "seen": seen,
    }
    return TemplateResponse(request, "admin/sagas/run/heat_map.html", context)


def _length(name: str) -> timedelta:
    minutes, parts = RANGES[name]
    return timedelta(minutes=minutes * parts)


def _svg(drawn: Map) -> SafeString:
    return mark_safe(svg.write(drawing.layout(drawn), name="saga-heat"))  # noqa: S308 - see above


def _draw(seen: HeatMap, chosen: Chosen) -> Map:
    most = max((stays.number for stays in seen.stays.values()), default=0)

    def place(at: datetime) -> float:
        return (at - seen.since) / seen.width

    every = 3
    days = seen.width >= timedelta(hours=6)
    return Map(
        title=_("Heat map of %(saga)s") % {"saga": seen.saga},
        description=_(
            "Time from left to right, the stages of the saga in their order from above, first those of the way "
            "forward. In each cell stands the p95 of the stays as a multiple of the median of seven days, or their "
            "number."
        ),
        parts=seen.parts,
        times=[
            (part, timezone.localtime(seen.since + part * seen.width).strftime("%m-%d %H:%M" if days else "%H:%M"))
            for part in range(0, seen.parts, every)
        ],
        groups=[
            Group(title, [Row(stage_name(stage), list(_cells(seen, chosen, stage, most))) for stage in names])
            for title, names in ((_("the way forward"), seen.order.forward), (_("the way back"), seen.order.backward))
        ],
        lanes=[
            Lane(
                _("budget burns"),
                "alarm",
                "backoff",
                [
                    Span(place(one.since), place(one.closed_at or seen.until), one.objective, one.objective)
                    for one in reversed(seen.incidents)
                ],
            ),
            Lane(
                _("breaker open"),
                "bad",
                "person",
                [Span(place(one.since), place(one.until or seen.until), one.step, one.step) for one in seen.openings],
            ),
        ],
        moments=[Moment(place(one.at), _("version %(number)d") % {"number": one.version}) for one in seen.deploys],
        moments_name=_("new version of the saga"),
    )


def _cells(seen: HeatMap, chosen: Chosen, stage: str, most: int) -> Iterator[Cell]:
    for part in range(seen.parts):
        stays = seen.stays.get((stage, part))
        if stays is None:
            continue
        begin = seen.since + part * seen.width
        asked = {
            "saga": seen.saga,
            "stage": stage,
            "since": str(int(begin.timestamp())),
            "until": str(int((begin + seen.width).timestamp())),
        }
        factor = seen.factor(stage, part)
        if chosen.shown == "count":
            heat = min(int(4 * stays.number / most + 0.5), 4) if most else 0
            text = _compact(stays.number)
        else:
            heat, text = seen.heat(stage, part), _times(factor)
        yield Cell(
            part,
            heat,
            text,
            _hint(seen, stage, part),
            f"{reverse('admin:sagas_run_heat_map_runs')}?{urlencode(asked)}",
            has_faults=stays.faults > 0,
        )


def _hint(seen: HeatMap, stage: str, part: int) -> str:
    stays = seen.stays[stage, part]
    return _("%(stage)s, %(when)s: p95 %(p95)s, usually %(usual)s; %(number)d stays, %(faults)d faults") % {
        "stage": stage_name(stage),
        "when": present.second(seen.since + part * seen.width),
        "p95": present.span(timedelta(seconds=stays.quantile(0.95))),
        "usual": present.span(timedelta(seconds=seen.usual.get(stage, 0.0))),
        "number": stays.number,
        "faults": stays.faults,
    }


def _times(factor: float | None) -> str:
    """A multiple in a cell's room."""
    if factor is None:
        return present.NONE
    return "99+" if factor >= 100 else f"{_compact(factor)}×"


def _compact(number: float) -> str:
    """A number in three or four letters."""
    if number >= 1000:
        size, unit = (1_000_000, "M") if number >= 1_000_000 else (1000, "k")
        return f"{number / size:.0f}{unit}" if number >= 10 * size else f"{number / size:.1f}{unit}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _table(seen: HeatMap) -> Iterator[Mapping[str, Any]]:
    """The hottest part of each stage, for those who do not see the drawing."""
    for stage in (*seen.order.forward, *seen.order.backward):
        parts = [part for part in range(seen.parts) if (stage, part) in seen.stays]
        worst = max(parts, key=lambda part: (seen.factor(stage, part) or 0.0, -part))
        stays = seen.stays[stage, worst]
        factor = seen.factor(stage, worst)
        yield {
            "stage": stage_name(stage),
            "usual": present.span(timedelta(seconds=seen.usual.get(stage, 0.0))),
            "when": seen.since + worst * seen.width,
            "p95": present.span(timedelta(seconds=stays.quantile(0.95))),
            "factor": present.NONE if factor is None else f"{_compact(factor)} ×",
            "number": sum(seen.stays[stage, part].number for part in parts),
            "faults": sum(seen.stays[stage, part].faults for part in parts),
        }


def _runs(_of_runs: admin.ModelAdmin[Run], request: HttpRequest) -> HttpResponse:
    """Lead to the list of the runs of a cell, those with the longest stays."""
    saga, stage = (request.GET.get(name, "") for name in ("saga", "stage"))
    listed = reverse("admin:sagas_run_changelist")
    since, until = (_moment(request.GET.get(name, "")) for name in ("since", "until"))
    if since is None or until is None or not timedelta() < until - since <= timedelta(days=1):
        return HttpResponseRedirect(listed)
    if saga not in _sagas() or not stage.isprintable():
        return HttpResponseRedirect(listed)
    found = store.heat_map.runs_in(saga, stage, since, until, LISTED)
    if not found:
        messages.info(request, _("None of the latest runs was in this stage then: they are older, or were pruned."))
        return HttpResponseRedirect(f"{listed}?{urlencode({'saga': saga})}")
    return HttpResponseRedirect(f"{listed}?{urlencode({'q': ' '.join(map(str, found))})}")


def _moment(seconds: str) -> datetime | None:
    """A time from the seconds since 1970 in a URL; ``None`` if these are none, or of another century."""
    if not (seconds.isascii() and seconds.isdigit()) or len(seconds) > len("4102444800"):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)
