"""``manage.py payments``: import a gateway's daily file; sweep what was left standing."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import ValidationError

from orders import services
from orders.api import serializers
from payments import gateways, refunds
from payments.models import Outcome, Payment, Refund, RefundState
from payments.services import REFUNDED, SUCCEEDED, Message

#: Rows that are looked up by one query.
_BATCH = 500
#: Required columns of the file; others are ignored.
_COLUMNS = ("payment_id", "order_no", "amount", "currency", "status")
#: Columns that rows of some statuses have.
_MORE = ("occurred_at", "refund_id", "refund_amount")


class Command(BaseCommand):
    """What is done about payments from outside the web."""

    help = "Import a payment gateway's daily file, or give back what a lost hook has left standing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="command", required=True)
        given = commands.add_parser(
            "import", help="take what the gateway's file has and this database lacks, as its webhooks would bring it"
        )
        given.add_argument("file", type=Path, help=f"CSV with the columns {', '.join(_COLUMNS)}.")
        given.add_argument("--gateway", default=settings.PAYMENT_GATEWAY, help="Whose file it is.")
        commands.add_parser("sweep", help="give back taken payments of undone orders, offer parked ones again")

    def handle(self, *, command: str, **options: Any) -> None:
        """Do it, and print what was done."""
        if command == "sweep":
            self.stdout.write(f"{refunds.sweep()} payments and refunds were put right")
            return
        self._import(options["file"], options["gateway"])

    def _import(self, file: Path, gateway: str) -> None:
        """Write one JSON line for each row that was missing or differs; end with an error if one differs."""
        if gateways.find(gateway) is None:
            msg = f"the settings have no gateway {gateway}"
            raise CommandError(msg)
        count: Counter[str] = Counter()
        read = _read(file)
        while rows := list(islice(read, _BATCH)):
            for number, said in _missing(gateway, rows):
                outcome = self._take(gateway, number, said)
                count[outcome] += 1
        differing = count.pop(Outcome.CONFLICT.value, 0)
        taken = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items()))
        self.stdout.write(f"missing here, and taken as webhooks: {taken or 'none'}")
        if differing:
            msg = f"{differing} row(s) contradict what is on record: a person is called for each"
            raise CommandError(msg)

    def _take(self, gateway: str, number: int, said: Mapping[str, Any]) -> str:
        body = json.dumps(said, sort_keys=True, default=str)
        message_id = f"import-{sha256(body.encode()).hexdigest()[:40]}"
        message = Message(webhook_id=message_id, body=body, gateway=gateway, **said)
        outcome = services.receive_payment(message=message).answer.outcome.value
        self.stdout.write(json.dumps({"row": number, **said, "outcome": outcome}, default=str))
        return outcome


def _read(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows of a file, each with its number, checked as the body of a webhook is."""
    try:
        with file.open(newline="") as opened:
            rows = csv.DictReader(opened)
            if missing := set(_COLUMNS) - set(rows.fieldnames or ()):
                msg = f"the file has no column {', '.join(sorted(missing))}"
                raise CommandError(msg)
            for number, row in enumerate(rows, 2):
                yield number, _check(number, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(str(error)) from error


def _check(number: int, row: Mapping[str, str | None]) -> dict[str, Any]:
    body: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    body |= {name: row[name] for name in _MORE if row.get(name)}
    try:
        for name in {"amount", "refund_amount"} & body.keys():
            body[name] = int(body[name])
        return serializers.read_payment(body)
    except (TypeError, ValueError, ValidationError) as error:
        msg = f"row {number} is no payment: {error}"
        raise CommandError(msg) from error


def _missing(gateway: str, rows: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows that are not on record just so. Those that only inform (failed, closed) are, if they change nothing."""
    ids = {said["payment_id"] for _, said in rows}
    known = {p.payment_id: p for p in Payment.objects.filter(gateway=gateway, payment_id__in=ids)}
    made = {
        (refund.payment_id, name)
        for refund in Refund.objects.filter(payment__in=known.values(), state=RefundState.RETURNED)
        for name in (str(refund.pk), refund.gateway_refund_id)
    }
    for number, said in rows:
        if said["status"] not in {SUCCEEDED, REFUNDED}:
            continue
        payment = known.get(said["payment_id"])
        same = payment is not None and (payment.order_no, payment.amount, payment.currency) == (
            *(said["order_no"], said["amount"], said["currency"]),
        )
        if not same or (said["status"] == REFUNDED and payment and (payment.pk, said["refund_id"]) not in made):
            yield number, said
