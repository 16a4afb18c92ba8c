"""The gateway's export beside the payments on record: after a restore, some may be known to the gateway alone."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from payments.models import Outcome, Payment
from payments.services import Message, receive

pytestmark = pytest.mark.django_db


def take(payment_id: str, order_no: str, amount: int) -> None:
    """A payment on record, of an order that nobody knows."""
    receive(Message(f"msg-{payment_id}", "{}", order_no, payment_id, amount, "CNY", "succeeded"), None)
    assert Payment.objects.get(payment_id=payment_id).reason == Outcome.UNKNOWN_ORDER


def compare(folder: Path, *rows: str) -> tuple[list[str], str]:
    """What the command says of an export, line by line, and the error it ends with."""
    export = folder / "export.csv"
    export.write_text("\n".join(rows))
    out = StringIO()
    try:
        call_command("compare_payments", str(export), stdout=out)
    except CommandError as error:
        return out.getvalue().splitlines(), str(error)
    return out.getvalue().splitlines(), ""


def test_payments_that_only_the_gateway_knows_are_listed(tmp_path: Path) -> None:
    take("p-1", "ORD-1", 1200)
    take("p-2", "ORD-2", 1500)
    said, error = compare(
        tmp_path,
        "payment_id,created,order_no,amount,currency",
        "p-1,2026-11-29,ORD-1,1200,CNY",
        "p-2,2026-11-29,ORD-2,1400,CNY",
        "p-3,2026-11-29,ORD-3,900,CNY",
    )
    assert error == "2 payment(s) are not alike"
    other, unknown = map(json.loads, said)
    assert (other["payment_id"], other["amount"], other["here"]["amount"]) == ("p-2", "1400", "1500")
    assert unknown == {"payment_id": "p-3", "order_no": "ORD-3", "amount": "900", "currency": "CNY", "here": None}


def test_equal_records_have_no_differences(tmp_path: Path) -> None:
    take("p-1", "ORD-1", 1200)
    rows = ("payment_id,order_no,amount,currency", "p-1,ORD-1,1200,CNY")
    assert compare(tmp_path, *rows) == (["the gateway and this database tell the same"], "")


def test_an_export_without_a_column_is_refused(tmp_path: Path) -> None:
    assert compare(tmp_path, "payment_id,order_no,amount")[1] == "the export has no column currency"
