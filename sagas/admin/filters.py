"""Filters of the lists. None of them queries the database for its choices."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from sagas.definition import registry
from sagas.models import Escalation, Run
from sagas.states import LIVE, State


class SagaFilter(admin.SimpleListFilter):
    """Filters by saga. Django's own filter would read every row for the choices; this one offers the declared sagas."""

    title = "saga"
    parameter_name = "saga"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, name) for name in dict.fromkeys(d.name for d in registry.all_definitions())]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(saga=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    """Filters by state. An index finds the few runs that are live or escalated."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in State]

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

    title = "standing"
    parameter_name = "standing"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("unseen", "Not acknowledged"), ("mine", "Mine"), ("resolved", "Resolved"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        """Label the default "Open", where Django has "All"."""
        offered = super().choices(changelist)
        yield {**next(offered), "display": "Open"}
        yield from offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> QuerySet[Escalation]:
        if self.value() == "all":
            return queryset
        if self.value() == "unseen":
            return queryset.filter(notify_at__isnull=False)
        if self.value() == "mine":
            return queryset.filter(resolved_at__isnull=True, assignee=request.user.get_username())
        return queryset.filter(resolved_at__isnull=self.value() != "resolved")
