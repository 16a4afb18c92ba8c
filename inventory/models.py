"""The drinks that the shop sells, and their stock."""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models

from sagas.pool import Hold, Pool

#: The highest price of one cup, in cents.
MOST_CENTS = 10_000_000


class Sku(Pool):
    """A drink of one size. The pool counts cups."""

    code = models.CharField("SKU", max_length=32, primary_key=True)
    name = models.CharField(max_length=100)
    price_cents = models.PositiveIntegerField(
        "price (cents)",
        validators=[MaxValueValidator(MOST_CENTS)],
        help_text="Price of one cup, in cents of a yuan.",
    )
    active = models.BooleanField(default=True, help_text="Whether it is on the menu and can be ordered.")

    class Meta(Pool.Meta):
        """The pool's constraints are inherited."""

        ordering = ["code"]
        verbose_name = "SKU"

    def __str__(self) -> str:
        """Name it as the menu does."""
        return f"{self.name} ({self.code})"


class SkuHold(Hold):
    """The cups of a SKU that one run holds."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

        verbose_name = "SKU hold"

    def __str__(self) -> str:
        """Say what is held."""
        return f"{self.quantity} of {self.pool_key} for {self.run_id}: {self.state}"
