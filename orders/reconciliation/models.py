"""What reconciliation has found, and how far it has come."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Finding(models.Model):
    """A violation of an invariant, from when it was first seen until it is resolved."""

    invariant = models.CharField(_("invariant"), max_length=64)
    key = models.CharField(_("key"), max_length=255)
    row = models.CharField(_("row"), max_length=255)
    run_id = models.UUIDField(_("run"), null=True)
    data = models.JSONField()
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, help_text=_("When it was not found any more."))
    repaired_by = models.CharField(_("repaired by"), max_length=150, blank=True, default="", db_default="")
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="", db_default="")

    class Meta:
        """One open finding a place; a person who repairs it says why."""

        ordering = ["-id"]
        permissions = [("repair_finding", "Can repair what reconciliation has found")]
        constraints = [
            models.UniqueConstraint(
                name="orders_finding_open_once",
                fields=["invariant", "key", "row"],
                condition=Q(resolved_at__isnull=True),
            ),
            models.CheckConstraint(
                name="orders_finding_repaired_why", condition=Q(repaired_by="", reason="") | ~Q(reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.row}"


class ReconciliationPass(models.Model):
    """How far a pass over the keys of some invariants has come. Passes over what changed and over all are two rows."""

    name = models.CharField(max_length=128, primary_key=True)
    after = models.CharField(max_length=255, blank=True, default="", help_text="The last key that was checked.")
    since = models.DateTimeField(help_text="What changed from then on is looked at.")
    began_at = models.DateTimeField(null=True, help_text="When the pass began that is under way.")
    next_at = models.DateTimeField(help_text="When a tick goes on.")

    def __str__(self) -> str:
        return self.name


class WatchedRun(models.Model):
    """A run that had not ended when it was last checked: once it has ended, it is checked again."""

    run_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.run_id)
