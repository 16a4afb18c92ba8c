"""The page of decisions for many runs: what was decided of which key, by whom, and whether all its runs have it."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sagas import store
from sagas.admin import present
from sagas.admin.readonly import LookOnly
from sagas.models import SharedDecision


@admin.register(SharedDecision)
class SharedDecisionAdmin(LookOnly[SharedDecision]):
    """Lists decisions, read-only: they are final."""

    list_display = ["key", "confirmation", "answer", "decided", "decided_by", "settled"]
    list_display_links = None
    ordering = ["-id"]
    sortable_by = ["decided"]
    search_fields = ["=key"]
    search_help_text = _("The key of a decision, whole.")

    def has_view_permission(self, request: HttpRequest, _obj: object = None) -> bool:
        """Allow users with the permission to view runs, too: a run names its decision."""
        return super().has_view_permission(request) or request.user.has_perm("sagas.view_run")

    @admin.display(description=_("Confirmation"))
    def confirmation(self, decision: SharedDecision) -> str:
        return gettext("%(confirmation)s of %(saga)s") % {"confirmation": decision.name, "saga": decision.saga}

    @admin.display(description=_("Decision"))
    def answer(self, decision: SharedDecision) -> str:
        """Say what was decided, and why it was refused."""
        if decision.data is not None:
            return gettext("confirmed")
        return gettext("declined: %(why)s") % {"why": decision.reason} if decision.reason else gettext("declined")

    @admin.display(description=_("Decided"), ordering="id")
    def decided(self, decision: SharedDecision) -> str:
        return present.second(decision.decided_at)

    @admin.display(description=_("Given to all runs"))
    def settled(self, decision: SharedDecision) -> str:
        """Say since when all runs have it, or how many wait for it."""
        if decision.settled_at is not None:
            return present.second(decision.settled_at)
        left = store.shared_decisions.count_undecided(decision.saga, decision.name, decision.key)
        return ngettext("not yet: %(count)d run", "not yet: %(count)d runs", left) % {"count": left}
