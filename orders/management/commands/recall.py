"""``manage.py recall``: recall a batch of drinks, with everything that runs hold and customers have bought of it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

import inventory.recalls
from inventory.services import StockRefused
from orders.refunds import recalling


class Command(BaseCommand):
    """Recall a batch; safe to repeat after whatever stopped it.

    Holds move to other batches; orders that find none are undone; of orders that have bought it, its cups are refunded.
    """

    help = "Recall a batch: move what is held of it, undo orders without another, refund what was sold of it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which batch, why, and who says so."""
        parser.add_argument("batch")
        parser.add_argument("--reason", required=True, help="Why, for the record.")
        parser.add_argument("--by", required=True, help="Your name: each refund has it.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")

    def handle(self, *, batch: str, reason: str, by: str, dry_run: bool, **_: Any) -> None:
        """Recall it, or say what that would do."""
        if not reason.strip() or not by.strip():
            msg = "Say why, and who you are."
            raise CommandError(msg)
        try:
            if dry_run:
                self._preview(batch)
            else:
                self._recall(batch, reason, by)
        except StockRefused as refused:
            raise CommandError(str(refused)) from refused

    def _preview(self, batch: str) -> None:
        found = inventory.recalls.preview(batch=batch)
        self.stdout.write(f"{found.available} cup(s) of {batch} would be thrown away")
        self.stdout.write(
            f"{found.runs} order(s) under way hold {found.held}: they would get others, of which {found.elsewhere} are "
            "there, or be undone"
        )
        for sale in recalling.sales(batch=batch):
            what = f"{sale.cups} cup(s) would be refunded" if sale.cups else "is refunded already"
            self.stdout.write(f"{sale.order_no}: {what}")
        self._tell_allocated(batch)
        self.stdout.write("Nothing was changed.")

    def _recall(self, batch: str, reason: str, by: str) -> None:
        done = inventory.recalls.recall(batch=batch, reason=reason, by=by)
        self.stdout.write(f"{done.moved} hold(s) moved, {done.cancelled} order(s) being undone")
        if done.decided:
            self.stdout.write(f"{done.decided} order(s) are being confirmed with it: repeat this in a moment")
        refused = 0
        for told in recalling.refund_sold(batch=batch, reason=reason, by=by):
            if told.refund is not None:
                cups = sum(told.refund.lines.values())
                text = f"{told.order_no}: {cups} cup(s) are refunded, {told.refund.amount} (minor units) go back"
            else:
                text = f"{told.order_no}: {told.why}"
                refused += told.why != "is refunded already"
            self.stdout.write(text)
        self._tell_allocated(batch)
        if refused:
            msg = f"{refused} order(s) could not be refunded: see above, and repeat this"
            raise CommandError(msg)

    def _tell_allocated(self, batch: str) -> None:
        """Name the campaigns that have cups of the batch: whose members get which of them is not known."""
        for account, cups in inventory.recalls.allocated(batch=batch).items():
            self.stdout.write(f"{account} has {cups} cup(s) of it, among others: call it off, or refund its members")
