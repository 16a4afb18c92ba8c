"""`manage.py sweep`: delete what is kept for a time only, and whose time is over. For cron; at any hour, by anyone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from orders.api import idempotency, tokens


class Command(BaseCommand):
    """Delete idempotency keys that are older than a day, and tokens that have ended."""

    help = "Delete old idempotency keys and tokens. New keys and logins do so too: this is for quiet shops."

    def handle(self, **_options: Any) -> None:
        """Sweep, and say what was found."""
        self.stdout.write(f"{idempotency.sweep()} idempotency keys, {tokens.sweep()} tokens")
