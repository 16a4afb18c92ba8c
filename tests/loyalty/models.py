"""Tables of another database that show what took effect there, and how often."""

from __future__ import annotations

from django.db import models

from sagas.pool import Hold, Pool


class Stamp(models.Model):
    """An effect of a step. No unique constraint: a double must be seen, not prevented."""

    run_id = models.UUIDField(db_index=True)
    step = models.CharField(max_length=48)
    operation = models.CharField(max_length=16)

    def __str__(self) -> str:
        """Name it."""
        return f"{self.step}.{self.operation}"


class Purse(Pool):
    """Something countable."""

    name = models.CharField(max_length=40, primary_key=True)

    class Meta(Pool.Meta):
        """Inherit the constraints."""

    def __str__(self) -> str:
        """Name it."""
        return self.name


class PurseHold(Hold):
    """Holds on purses."""

    class Meta(Hold.Meta):
        """Inherit the constraints."""

    def __str__(self) -> str:
        """Name it."""
        return f"{self.quantity} of {self.pool_key}"


class Ribbon(models.Model):
    """Something that refers to a purse, which only the COMMIT checks."""

    run_id = models.UUIDField()
    purse = models.ForeignKey(Purse, on_delete=models.CASCADE)

    def __str__(self) -> str:
        """Name it."""
        return f"ribbon of {self.purse_id}"
