"""The docs page and the schema it shows: Swagger's, under a strict content security policy, behind a switch."""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from orders.api.protocol import problems


class Switched:
    """A view that exists if ``API_DOCS`` is on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer as an unknown URL does if it is off."""
        if not settings.API_DOCS:
            return problems.not_found(request)
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # of the view beside
        return answer


class SchemaView(Switched, SpectacularAPIView):
    """The OpenAPI schema."""


# Swagger's icons are images inside its stylesheet.
@method_decorator(csp_update({"img-src": ["'self'", "data:"]}), name="dispatch")
class DocsView(Switched, SpectacularSwaggerSplitView):
    """The page, and with ``?script`` its script, because nothing may be inline."""

    template_name = "orders/docs.html"
