"""The stock in the admin. Sagas change the counts; people see them, and restock by a difference."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from inventory import services
from inventory.models import Sku
from sagas.admin.lists import KeptWhileUsedAdmin


class SkuForm(forms.ModelForm[Sku]):
    """A SKU, and how many cups to add."""

    restock = forms.IntegerField(
        required=False,
        min_value=-1_000_000,
        max_value=1_000_000,
        help_text="Cups to add to what is available; below 0 takes some away.",
    )

    class Meta:
        """The counts are not editable."""

        model = Sku
        fields = ["code", "name", "price_cents", "active"]

    def clean_restock(self) -> int:
        """Refuse to remove more than is available. In a race the database refuses it."""
        quantity = self.cleaned_data["restock"] or 0
        if self.instance.available + quantity < 0:
            raise forms.ValidationError(f"Only {self.instance.available} are available.")
        return cast(int, quantity)


@admin.register(Sku)
class SkuAdmin(KeptWhileUsedAdmin[Sku]):
    """See the stock, restock it, and take a drink off the menu."""

    form = SkuForm
    list_display = ["code", "name", "price_cents", "active", "available", "held", "sold"]
    list_filter = ["active"]
    search_fields = ["code", "name"]
    readonly_fields = ["available", "held", "sold"]

    instead = "make it inactive instead, which takes it off the menu"

    def use_of(self, row: Sku) -> str:
        """Cups that runs hold or have bought."""
        return f"{row.held} held, {row.sold} sold" if row.held or row.sold else ""

    def get_readonly_fields(self, _request: HttpRequest, obj: Sku | None = None) -> list[str]:
        """Fix the code of an existing SKU, because holds refer to it."""
        return ["available", "held", "sold", *(["code"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Sku, form: Any, change: bool) -> None:
        """Write only the edited fields: the counts may have changed since they were read."""
        if change:
            obj.save(update_fields=["name", "price_cents", "active"])
        else:
            super().save_model(request, obj, form, change)
        if form.cleaned_data["restock"]:
            services.restock(code=obj.code, quantity=form.cleaned_data["restock"])
