"""`manage.py sweep`: delete what has expired, and decide campaigns. For cron; it may run at any time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

import webhooks.services
from orders.api import tokens
from orders.api.protocol import idempotency
from orders.groups import deciding


class Command(BaseCommand):
    """Delete idempotency keys that are older than a day, expired tokens, events of webhooks; decide campaigns."""

    help = (
        "Delete old idempotency keys and tokens, as new keys and logins do, and decide campaigns, as workers do, too; "
        "and delete events of webhooks after 30 days, which nothing else does: let cron run it once a day."
    )

    def handle(self, **_options: Any) -> None:
        """Do it, and print how many."""
        self.stdout.write(
            f"{idempotency.sweep()} idempotency keys, {tokens.sweep()} tokens, {webhooks.services.prune()} events, "
            f"{deciding.sweep()} campaigns"
        )
