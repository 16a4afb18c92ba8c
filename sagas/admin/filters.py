"""Filters of the lists. None of them queries the database for its choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sagas.admin import present
from sagas.definition import registry
from sagas.models import Escalation, Run
from sagas.states import LIVE, State

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise

#: Runs that a list looks at, from the last one on, for what no index finds. To find an older run, users search.
LATEST = 100_000


def of_the_latest(queryset: QuerySet[Run]) -> QuerySet[Run]:
    """Keep the latest runs: without a bound a list of rare ones would read all of the table."""
    oldest = Run.objects.order_by("-id").values("id")[LATEST : LATEST + 1]
    return queryset.filter(id__gt=Coalesce(Subquery(oldest), Value(UUID(int=0))))


class TimeFilter(admin.DateFieldListFilter):
    """Filters by a time, under a name in the reader's language; Django's has the column's."""

    named: StrOrPromise = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = self.named


class RaisedFilter(TimeFilter):
    """Filters escalations by the time when they were raised."""

    named = _("raised")


class CreatedFilter(TimeFilter):
    """Filters the latest runs by the time when they were accepted."""

    named = _("accepted")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run] | None:
        latest = of_the_latest(queryset) if self.used_parameters and not _by_state(request) else queryset
        return super().queryset(request, latest)


def _by_state(request: HttpRequest) -> bool:
    """Whether the list is filtered by a state of which an index finds the runs."""
    return request.GET.get(StateFilter.parameter_name) in {*LIVE, State.ESCALATED, State.FAILED}


class SagaFilter(admin.SimpleListFilter):
    """Filters by saga. Django's own filter would read every row for the choices; this one offers the declared sagas."""

    title = _("saga")
    parameter_name = "saga"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, StrOrPromise]]:
        return [(name, name) for name in dict.fromkeys(d.name for d in registry.all_definitions())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value():
            return queryset
        found = queryset.filter(saga=self.value())
        return found if _by_state(request) else of_the_latest(found)


class StateFilter(admin.SimpleListFilter):
    """Filters by state. An index finds the few runs that are live, escalated or failed."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, StrOrPromise]]:
        return [(state.value, present.word(state.value)) for state in State]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Keep runs in the state. The second condition follows from the first; PostgreSQL needs it to use the index."""
        state = self.value()
        if state is None:
            return queryset
        found = queryset.filter(state=state)
        if state in LIVE:
            return found.filter(due_at__isnull=False)
        if state == State.ESCALATED:
            return found.filter(id__in=Escalation.objects.filter(resolved_at=None).values("run_id"))
        return found


class OpenFilter(admin.SimpleListFilter):
    """Filters escalations by what has been done about them. The default is open escalations."""

    title = _("standing")
    parameter_name = "standing"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, StrOrPromise]]:
        return [("unseen", _("Not acknowledged")), ("mine", _("Mine")), ("resolved", _("Resolved")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        """Label the default "Open", where Django has "All"."""
        offered = super().choices(changelist)
        yield {**next(offered), "display": _("Open")}
        yield from offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> QuerySet[Escalation]:
        if self.value() == "all":
            return queryset
        if self.value() == "unseen":
            return queryset.filter(notify_at__isnull=False)
        if self.value() == "mine":
            return queryset.filter(resolved_at__isnull=True, assignee=request.user.get_username())
        return queryset.filter(resolved_at__isnull=self.value() != "resolved")
