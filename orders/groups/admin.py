"""Campaigns in the admin: staff open, change, close and call them off, with a reason where customers may ask."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

import campaigns.selectors
from campaigns.errors import CampaignError
from campaigns.models import Campaign
from campaigns.services import RAISABLE, TERMS
from orders.groups import staff
from sagas.admin.lists import ListAdmin


class CampaignForm(forms.ModelForm[Campaign]):
    """What a campaign offers, and why it is changed."""

    reason = forms.CharField(
        required=False,
        max_length=1000,
        help_text=gettext_lazy(
            "Why it is changed. Needed once somebody has joined; then only capacity and quota can rise."
        ),
    )

    class Meta:
        """The states are not editable."""

        model = Campaign
        fields = ["slug", "title", *TERMS, *RAISABLE]


class ReasonForm(ActionForm):
    """The choice of an action, with its reason."""

    reason = forms.CharField(required=False, max_length=1000, label=gettext_lazy("Reason"))


@admin.register(Campaign)
class CampaignAdmin(ListAdmin[Campaign]):
    """See the campaigns, and how they stand."""

    form = CampaignForm
    action_form = ReasonForm
    actions = ["close_now", "call_off"]
    list_display = ["title", "link", "state", "outcome", "minimum", "capacity", "quota", "closes_at", "closed_at"]
    list_filter = ["state", "outcome", "closes_at"]
    search_fields = ["=slug", "title", "=sku"]
    date_hierarchy = "closes_at"
    fields = ["slug", "title", *TERMS, *RAISABLE, "reason", "standing", "state", "outcome", "decided_at", "settled_at"]

    @admin.display(description=gettext_lazy("page"))
    def link(self, campaign: Campaign) -> str:
        """Link to the page that customers see."""
        return format_html('<a href="{}">{}</a>', campaign.page_path, campaign.slug)

    @admin.display(description=gettext_lazy("members"))
    def standing(self, campaign: Campaign) -> str:
        """Say how it stands."""
        found = campaigns.selectors.standings(campaign_ids=[campaign.pk]).get(campaign.pk)
        if found is None:
            return "–"
        told = {"paid": found.paid, "joined": found.joined, "places": found.places_left, "cups": found.cups_left}
        return _("%(paid)d of %(joined)d have paid; %(places)d places and %(cups)d cups are left") % told

    def get_readonly_fields(self, _request: HttpRequest, obj: Campaign | None = None) -> list[str]:
        """Fix what people share, and what services write."""
        return ["standing", "state", "outcome", "decided_at", "settled_at", *(["slug"] if obj else [])]

    def has_delete_permission(self, _request: HttpRequest, _obj: Campaign | None = None) -> bool:
        """Refuse: a campaign is kept for the record."""
        return False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Say why a service refuses a change; nothing is written then."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except CampaignError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        """Have the services do it, which move the cups, too."""
        by, given = request.user.get_username(), dict(form.cleaned_data)
        reason = given.pop("reason")
        if not change:
            obj.pk = staff.open_campaign(by=by, **given).pk
        elif changed := {name: given[name] for name in form.changed_data if name in given}:
            staff.change(campaign_id=obj.pk, by=by, reason=reason, **changed)

    @admin.action(description=gettext_lazy("Close now"), permissions=["change"])
    def close_now(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        """End the joins of these campaigns."""
        self._do(request, queryset, staff.close_now)

    @admin.action(description=gettext_lazy("Call off"), permissions=["change"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        """Undo the orders of these campaigns' members."""
        self._do(request, queryset, staff.call_off)

    def _do(self, request: HttpRequest, queryset: QuerySet[Campaign], what: Any) -> None:
        reason = request.POST.get("reason", "")
        for campaign in queryset.order_by("pk"):
            try:
                what(campaign_id=campaign.pk, by=request.user.get_username(), reason=reason)
            except CampaignError as error:
                self.message_user(request, f"{campaign}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%(campaign)s: done.") % {"campaign": campaign}, messages.SUCCESS)
