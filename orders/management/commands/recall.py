"""``manage.py recall``: recall a batch of drinks, with everything that runs hold and customers have bought of it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

import inventory.recalls
from inventory.services import StockRefused
from orders.selectors import numbers_of


class Command(BaseCommand):
    """Recall a batch; safe to repeat after whatever stopped it.

    Holds move to other batches; orders that find none are undone. Orders that have cups of it already are listed, so
    that they are refunded.
    """

    help = "Recall a batch: move what is held of it, undo orders without another, list the orders that have bought it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which batch, why, and who says so."""
        parser.add_argument("batch")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--by", required=True)

    def handle(self, *, batch: str, reason: str, by: str, **_: Any) -> None:
        """Recall it."""
        try:
            done = inventory.recalls.recall(batch=batch, reason=reason, by=by)
        except StockRefused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"{done.moved} hold(s) moved, {done.cancelled} order(s) being undone")
        numbers = numbers_of(run_ids=inventory.recalls.sold_of(batch=batch))
        self.stdout.write(f"{len(numbers)} order(s) have bought cups of it: refund them")
        for number in numbers:
            self.stdout.write(number)
