"""`manage.py sweep`: delete expired idempotency keys and tokens. For cron; it may run at any time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from orders.api import idempotency, tokens


class Command(BaseCommand):
    """Delete idempotency keys that are older than a day, and expired tokens."""

    help = "Delete old idempotency keys and tokens. New keys and logins do so too: this is for quiet shops."

    def handle(self, **_options: Any) -> None:
        """Delete them, and print how many."""
        self.stdout.write(f"{idempotency.sweep()} idempotency keys, {tokens.sweep()} tokens")
