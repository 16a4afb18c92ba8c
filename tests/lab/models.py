"""Tables that show what took effect, and how often."""

from __future__ import annotations

from django.db import models

from sagas.pool import Hold, Pool


class Mark(models.Model):
    """An effect of a step. No unique constraint: a double must be seen, not prevented."""

    run_id = models.UUIDField(db_index=True)
    step = models.CharField(max_length=48)
    operation = models.CharField(max_length=16)

    def __str__(self) -> str:
        """Name it."""
        return f"{self.step}.{self.operation}"


class Jar(Pool):
    """Something countable."""

    name = models.CharField(max_length=40, primary_key=True)

    class Meta(Pool.Meta):
        """Inherit the constraints."""

    def __str__(self) -> str:
        """Name it."""
        return self.name


class JarHold(Hold):
    """Holds on jars."""

    class Meta(Hold.Meta):
        """Inherit the constraints."""

    def __str__(self) -> str:
        """Name it."""
        return f"{self.quantity} of {self.pool_key}"


class Label(models.Model):
    """Something that refers to a jar. As all of Django's foreign keys, this one is checked at the COMMIT."""

    run_id = models.UUIDField()
    jar = models.ForeignKey(Jar, on_delete=models.CASCADE)

    def __str__(self) -> str:
        """Name it."""
        return f"label of {self.jar_id}"
