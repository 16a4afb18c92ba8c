"""The overview page: what is under way, what stands still, and who is at work.

The part that lives is rendered alone at a URL of its own, which a script asks every few seconds. It contains times and
no ages, so that an answer without news is a 304 without a body. The page is the same without the script.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from sagas.admin import present
from sagas.models import Run
from sagas.operations import overview
from sagas.states import State

_LIVE = "admin/sagas/run/overview_live.html"


def urls(of_runs: admin.ModelAdmin[Run]) -> list[URLPattern]:
    """The URLs of the page and of the part that lives, for the admin of runs."""

    def guarded(view: Any) -> Any:
        def asked_first(request: HttpRequest) -> HttpResponseBase:
            if not of_runs.has_view_permission(request):
                raise PermissionDenied
            response: HttpResponseBase = view(of_runs, request)
            return response

        return of_runs.admin_site.admin_view(require_safe(asked_first))

    return [
        path("overview/", guarded(_page), name="sagas_run_overview"),
        path("overview/live/", guarded(_live), name="sagas_run_overview_live"),
    ]


def _page(of_runs: admin.ModelAdmin[Run], request: HttpRequest) -> HttpResponse:
    context = {
        **of_runs.admin_site.each_context(request),
        "title": _("Overview"),
        "opts": of_runs.model._meta,
        "media": of_runs.media,
        "live_url": reverse("admin:sagas_run_overview_live"),
        **_context(request),
    }
    return TemplateResponse(request, "admin/sagas/run/overview.html", context)


def _live(_of_runs: admin.ModelAdmin[Run], request: HttpRequest) -> HttpResponseBase:
    body = render_to_string(_LIVE, _context(request), request).encode()
    etag = f'W/"{sha256(body).hexdigest()[:32]}"'
    response = HttpResponse(body, headers={"ETag": etag})
    found = get_conditional_response(request, etag=etag, response=response)
    return response if found is None else found


def _context(request: HttpRequest) -> Mapping[str, Any]:
    seen = overview.look()
    return {
        "seen": seen,
        "states": [(present.label(state), number, _runs(state=state)) for state, number in seen.states.items()],
        "places": [
            (
                place,
                present.label(place.state),
                ", ".join(present.place(*at) for at in place.at) or present.NONE,
                _runs(state=place.state, saga=place.saga),
            )
            for place in seen.places
        ],
        "succeeded": _ended(seen, State.SUCCEEDED),
        "failed": _ended(seen, State.FAILED),
        "mine": seen.assigned_to(request.user.get_username()),
    }


def _runs(**filters: str) -> str:
    """The list of these runs."""
    return f"{reverse('admin:sagas_run_changelist')}?{urlencode(filters)}"


def _ended(seen: overview.Overview, state: State) -> int:
    return sum(one.number for one in seen.ended if one.state == state)
