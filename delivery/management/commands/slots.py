"""``manage.py slots``: make the slots of a store's day, by its opening hours."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery import services
from delivery.errors import DayUnusable
from delivery.models import MOST_ORDERS, Store


class Command(BaseCommand):
    """Make slots; safe to repeat, as by cron. Staff does it on the store's page, too."""

    help = "Make the slots of a store's day by its hours, such as: slots main 2026-12-24 --minutes 60 --capacity 20"

    def add_arguments(self, parser: CommandParser) -> None:
        """Which store and day, how long a slot is, and how many orders it takes."""
        parser.add_argument("store")
        parser.add_argument("day", type=date.fromisoformat)
        parser.add_argument("--minutes", type=int, default=60)
        parser.add_argument("--capacity", type=int, required=True)

    def handle(self, *, store: str, day: date, minutes: int, capacity: int, **_: Any) -> None:
        """Make them."""
        length = timedelta(minutes=minutes) if 0 < minutes <= services.LONGEST // timedelta(minutes=1) else timedelta()
        if not services.SHORTEST <= length <= services.LONGEST or not 0 < capacity <= MOST_ORDERS:
            raise CommandError(f"--minutes is 5 to 1440, --capacity 1 to {MOST_ORDERS}.")
        found = Store.objects.filter(code=store).first()
        if found is None:
            raise CommandError(f"There is no store {store}.")
        try:
            made = services.open_day(store=found.pk, day=day, length=length, capacity=capacity)
        except DayUnusable as error:
            raise CommandError(f"{error}.") from error
        self.stdout.write(f"{len(made)} slot(s) made")
