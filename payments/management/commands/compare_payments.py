"""``manage.py compare_payments``: payments of the gateway that are missing or different in this database."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payments.models import Payment

#: Rows of one query.
_BATCH = 500
#: Required columns of the export; others are ignored.
_COLUMNS = ("payment_id", "order_no", "amount", "currency")


class Command(BaseCommand):
    """Look up each payment of the gateway's export."""

    help = "Compare an export of the payment gateway (CSV) with the payments on record. Reads only."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("export", type=Path, help=f"CSV with the columns {', '.join(_COLUMNS)}.")

    def handle(self, *, export: Path, **_: Any) -> None:
        """Write one JSON line for each difference; end with an error if there is any."""
        try:
            with export.open(newline="") as opened:
                rows = csv.DictReader(opened)
                told, columns = list(rows), set(rows.fieldnames or ())
        except OSError as error:
            raise CommandError(str(error)) from error
        if missing := set(_COLUMNS) - columns:
            msg = f"the export has no column {', '.join(sorted(missing))}"
            raise CommandError(msg)
        count = 0
        for what in _differences(told):
            count += 1
            self.stdout.write(json.dumps(what))
        if count:
            msg = f"{count} payment(s) are not alike"
            raise CommandError(msg)
        self.stdout.write("the gateway and this database tell the same")


def _differences(rows: Sequence[Mapping[str, str]]) -> Iterator[dict[str, object]]:
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        known = {p.payment_id: p for p in Payment.objects.filter(payment_id__in=[row["payment_id"] for row in some])}
        for row in some:
            told = {name: row[name] for name in _COLUMNS}
            payment = known.get(row["payment_id"])
            if payment is None:
                yield {**told, "here": None}
                continue
            here = {
                "payment_id": payment.payment_id,
                "order_no": payment.order_no,
                "amount": str(payment.amount),
                "currency": payment.currency,
            }
            if here != told:
                yield {**told, "here": {**here, "state": payment.state}}
