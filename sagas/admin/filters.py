"""Filters of the lists. None of them asks the database what there is to choose from."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from sagas.definition import registry
from sagas.models import Escalation, Run
from sagas.states import LIVE, State


class SagaFilter(admin.SimpleListFilter):
    """By saga: those declared here. Django's own filter would read every row for their names."""

    title = "saga"
    parameter_name = "saga"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the sagas that this process knows."""
        return [(name, name) for name in dict.fromkeys(d.name for d in registry.all_definitions())]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Keep its runs."""
        return queryset.filter(saga=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    """By state, so that the few runs in a live or escalated one are found by an index."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer all states, in the order in which a run may pass them."""
        return [(state.value, state.value) for state in State]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Keep the runs in it. The second condition follows from the first; it names the index."""
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
    """Escalations that still wait for a person: what the list shows unless asked otherwise."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, _request: HttpRequest, _model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the others."""
        return [("unseen", "Not acknowledged"), ("mine", "Mine"), ("resolved", "Resolved"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        """Call the default by its name, which is not "All" here."""
        offered = super().choices(changelist)
        yield {**next(offered), "display": "Open"}
        yield from offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> QuerySet[Escalation]:
        """Keep those in this standing."""
        if self.value() == "all":
            return queryset
        if self.value() == "unseen":
            return queryset.filter(notify_at__isnull=False)
        if self.value() == "mine":
            return queryset.filter(resolved_at__isnull=True, assignee=request.user.get_username())
        return queryset.filter(resolved_at__isnull=self.value() != "resolved")
