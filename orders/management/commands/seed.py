"""``manage.py seed``: demo data, the demo customer's token, and an admin."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import demo


class Command(BaseCommand):
    """Create missing demo data. ADMIN_USER and ADMIN_PASSWORD create an admin, DEMO_PASSWORD is the demo customer's."""

    help = "Make demo drinks, slots, coupons and a demo customer; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``--json``."""
        parser.add_argument("--json", action="store_true", help="print a fresh token of the demo customer as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        """Create the data."""
        admin, password = os.environ.get("ADMIN_USER", ""), os.environ.get("ADMIN_PASSWORD", "")
        if admin and not password:
            raise CommandError("ADMIN_USER is set, ADMIN_PASSWORD is not.")
        customer = demo.seed(admin=admin, password=password, customers_password=os.environ.get("DEMO_PASSWORD", ""))
        if options["json"]:
            token = demo.token(customer=customer)
            self.stdout.write(json.dumps({"customer": customer.get_username(), "token": token}))
        else:
            self.stdout.write(f"demo data is there; the customer is {customer.get_username()}")
