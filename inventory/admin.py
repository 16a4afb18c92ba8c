"""The stock in the admin. Sagas change the counts; people see them, and change what is available with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from inventory import ledger, recalls, services
from inventory.models import Batch, Move, Sku, SkuHold
from sagas.admin.lists import KeptWhileUsedAdmin, ListAdmin

#: The most cups that a person adds or removes at once.
_MOST = 1_000_000
#: Days that the page of a batch explains, if nobody asks for others.
_DAYS = 7


class _MoveForm(forms.ModelForm[Any]):
    """A row, and a change of its stock with a reason."""

    reason = forms.CharField(required=False, max_length=200, help_text=_("Why the stock changes, for the ledger."))

    def clean(self) -> dict[str, Any] | None:
        """Refuse a change without a reason."""
        cleaned = super().clean() or self.cleaned_data
        if self.quantity() and not cleaned.get("reason", "").strip():
            self.add_error("reason", _("Say why the stock changes."))
        return cleaned

    def quantity(self) -> int:
        """How many cups are added or removed."""
        raise NotImplementedError


class SkuForm(_MoveForm):
    """A SKU, and how many cups that never spoil to add."""

    restock = forms.IntegerField(
        required=False,
        min_value=-_MOST,
        max_value=_MOST,
        help_text=_("Cups that never spoil to add to what is available; below 0 takes some away."),
    )

    class Meta:
        """The counts are not editable."""

        model = Sku
        fields = ["code", "name", "price_cents", "active", "shelf_life_minutes"]

    def clean_restock(self) -> int:
        """Refuse to remove more than is available. In a race the service refuses it."""
        quantity = self.cleaned_data["restock"] or 0
        own = Batch.objects.filter(key=self.instance.pk).first()
        available = own.available if own else 0
        if available + quantity < 0:
            raise forms.ValidationError(_("Only %(available)d are available.") % {"available": available})
        return cast(int, quantity)

    def quantity(self) -> int:
        """How many cups are added or removed."""
        return int(self.cleaned_data.get("restock") or 0)


class BatchForm(_MoveForm):
    """A batch, and what to do with its cups."""

    change = forms.ChoiceField(
        required=False,
        choices=[
            ("", "---------"),
            ("restock", _("add cups")),
            ("adjust", _("correct the count")),
            ("write_off", _("write off")),
            ("recall", _("recall the batch")),
        ],
    )
    cups = forms.IntegerField(
        required=False,
        min_value=-_MOST,
        max_value=_MOST,
        help_text=_("How many; below 0 only where a count is corrected."),
    )

    class Meta:
        """The counts are not editable, and what a batch is cannot be changed."""

        model = Batch
        fields = ["sku", "spoils_at"]

    def quantity(self) -> int:
        """How many cups are added or removed; a recall is one, too."""
        return int(self.cleaned_data.get("cups") or 0) or (self.cleaned_data.get("change") == "recall")


@admin.register(Sku)
class SkuAdmin(KeptWhileUsedAdmin[Sku]):
    """See the stock, restock it, and take a drink off the menu."""

    form = SkuForm
    list_display = ["code", "name", "price_cents", "active", "available", "held", "sold"]
    list_filter = ["active"]
    search_fields = ["code", "name"]
    readonly_fields = ["available", "held", "sold"]

    instead = "make it inactive instead, which takes it off the menu"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sku]:
        """Add up the batches, too."""
        return (
            super()
            .get_queryset(request)
            .annotate(**{f"_{name}": Sum(f"batches__{name}") for name in ("available", "held", "sold")})
        )

    @admin.display(description=_("available"), ordering="_available")
    def available(self, row: Sku) -> int:
        """Cups of all batches, also of those that are spoiled."""
        return int(getattr(row, "_available", None) or 0)

    @admin.display(description=_("held"), ordering="_held")
    def held(self, row: Sku) -> int:
        """Cups that runs hold."""
        return int(getattr(row, "_held", None) or 0)

    @admin.display(description=_("sold"), ordering="_sold")
    def sold(self, row: Sku) -> int:
        """Cups that runs have bought."""
        return int(getattr(row, "_sold", None) or 0)

    def use_of(self, row: Sku) -> str:
        """Cups that runs hold or have bought."""
        used = Batch.objects.filter(sku=row).aggregate(held=Sum("held", default=0), sold=Sum("sold", default=0))
        return f"{used['held']} held, {used['sold']} sold" if used["held"] or used["sold"] else ""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Batches go with their SKU: they are nobody else's."""
        deleted, counts, permissions, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, permissions - {Batch._meta.verbose_name}, protected

    def get_readonly_fields(self, _request: HttpRequest, obj: Sku | None = None) -> list[str]:
        """Fix the code of an existing SKU, because batches refer to it."""
        return ["available", "held", "sold", *(["code"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Sku, form: Any, change: bool) -> None:
        """Write only the edited fields, and the change of the stock."""
        if change:
            obj.save(update_fields=["name", "price_cents", "active"])
        else:
            super().save_model(request, obj, form, change)
        if quantity := form.quantity():
            move = services.restock if quantity > 0 else services.adjust
            _try(request, move, batch=obj.code, quantity=quantity, reason=form.cleaned_data["reason"])


@admin.register(Batch)
class BatchAdmin(KeptWhileUsedAdmin[Batch]):
    """See the batches, receive new ones, and change their stock with a reason."""

    form = BatchForm
    list_display = ["key", "sku", "spoils_at", "recalled_at", "available", "held", "sold", "written_off", "explained"]
    list_filter = ["spoils_at", "recalled_at"]
    list_select_related = ["sku"]
    search_fields = ["key", "sku__name"]
    readonly_fields = ["available", "held", "sold", "written_off", "recalled_at"]
    autocomplete_fields = ["sku"]

    instead = "write off what is left of it instead"

    def use_of(self, row: Batch) -> str:
        """Cups that runs hold or have bought."""
        return f"{row.held} held, {row.sold} sold" if row.held or row.sold else ""

    def has_delete_permission(self, _request: HttpRequest, _obj: Batch | None = None) -> bool:
        """Refuse: the ledger explains it."""
        return False

    def get_readonly_fields(self, _request: HttpRequest, obj: Batch | None = None) -> list[str]:
        """Fix what a batch is."""
        return [*self.readonly_fields, *(["sku", "spoils_at"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Batch, form: Any, change: bool) -> None:
        """Make the change by the services: each is a row of the ledger."""
        cleaned = form.cleaned_data
        reason, cups = cleaned["reason"] or "", cleaned["cups"] or 0
        if not change:
            key = _try(
                request, services.add_batch, sku=obj.sku_id, spoils_at=obj.spoils_at, quantity=cups, reason=reason
            )
            obj.key = key or obj.sku_id
            return
        match cleaned["change"]:
            case "restock" | "adjust" | "write_off" as name:
                _try(request, getattr(services, name), batch=obj.key, quantity=cups, reason=reason)
            case "recall":
                # Not in this transaction, which has the batch locked: runs are locked before batches, a cohort at a
                # time. If the process dies in between, the same choice goes on.
                transaction.on_commit(partial(_recall, request, batch=obj.key, reason=reason))

    @admin.display(description=_("ledger"))
    def explained(self, row: Batch) -> str:
        """Link to the page that explains the counts."""
        return format_html('<a href="{}">{}</a>', reverse("admin:inventory_batch_explain", args=[row.pk]), _("explain"))

    def get_urls(self) -> list[URLPattern]:
        """Add the page that explains a batch."""
        view = self.admin_site.admin_view(self.explain)
        return [path("<path:key>/explain/", view, name="inventory_batch_explain"), *super().get_urls()]

    def explain(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show what the counts were, what changed them, and what they are, for some days."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = Batch.objects.filter(pk=unquote(key)).select_related("sku").first()
        if batch is None:
            raise Http404
        today = timezone.now().astimezone(UTC).date()
        first = _day(request.GET.get("from")) or today - timedelta(days=_DAYS - 1)
        last = _day(request.GET.get("to")) or today
        if last < first:
            messages.error(request, _("The last day lies before the first."))
            return HttpResponseRedirect(request.path)
        since = datetime.combine(first, time(), UTC)
        until = datetime.combine(last, time(), UTC) + timedelta(days=1)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Ledger of %(batch)s") % {"batch": batch.key},
            "opts": self.model._meta,
            "batch": batch,
            "first": first,
            "last": last,
            "explanation": ledger.explain(batch=batch.key, since=since, until=until),
        }
        return TemplateResponse(request, "admin/inventory/batch/explain.html", context)


@admin.register(Move)
class MoveAdmin(ListAdmin[Move]):
    """See what people did to the stock. It is made on the pages of SKUs and batches, and never changed."""

    list_display = ["at", "batch", "kind", "available", "written_off", "reason", "by", "allocated_to"]
    list_display_links = None
    list_filter = ["kind", "at"]
    search_fields = ["=batch", "reason", "by", "=allocated_to"]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: a move changes a batch in the same transaction."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Move | None = None) -> bool:
        """Refuse: the ledger is append-only."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Move | None = None) -> bool:
        """Refuse: the ledger is append-only."""
        return False


@admin.register(SkuHold)
class SkuHoldAdmin(ListAdmin[SkuHold]):
    """Find out which batch a run's cups are of, and who has cups of a batch."""

    list_display = ["pool_key", "run_id", "quantity", "state", "held_at", "ended_at"]
    list_display_links = None
    list_filter = ["state"]
    search_fields = ["=pool_key", "=run_id"]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: runs hold."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: SkuHold | None = None) -> bool:
        """Refuse: runs hold."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: SkuHold | None = None) -> bool:
        """Refuse: runs hold."""
        return False


def _try(request: HttpRequest, change: Any, **details: Any) -> Any:
    """Change the stock, or say on the page why not."""
    try:
        return change(**details, by=request.user.get_username())
    except services.StockRefused as refused:
        messages.error(request, str(refused))
        return None


def _recall(request: HttpRequest, *, batch: str, reason: str) -> None:
    """Recall a batch with what runs hold of it, and say what is left for people to do."""
    done = _try(request, recalls.recall, batch=batch, reason=reason)
    if done is None:
        return
    told = {"moved": done.moved, "cancelled": done.cancelled}
    messages.success(
        request, _("The batch is recalled: %(moved)d holds moved, %(cancelled)d orders are being undone.") % told
    )
    if done.decided:
        text = _("%(orders)d orders are being confirmed with it: recall it again in a moment.")
        messages.warning(request, text % {"orders": done.decided})
    if sold := recalls.sold_cups(batch=batch):
        text = _("%(orders)d orders have bought cups of it: manage.py recall refunds them.")
        messages.warning(request, text % {"orders": len(sold)})


def _day(text: str | None) -> Any:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None
