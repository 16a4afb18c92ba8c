"""The gateway's daily file: what is missing here is taken as its webhook would be, and what differs calls a person."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from orders.models import Order
from payments.models import Payment, PaymentEvent
from sagas.models import Confirmation
from tests.shop.conftest import Api, Shop, confirm

pytestmark = pytest.mark.django_db
COLUMNS = "payment_id,created,order_no,amount,currency,status,occurred_at,refund_id,refund_amount"


def load(folder: Path, *rows: str, columns: str = COLUMNS) -> tuple[list[str], str]:
    """What the command says of a file, line by line, and the error it ends with."""
    file = folder / "daily.csv"
    file.write_text("\n".join([columns, *rows]))
    out = StringIO()
    try:
        call_command("payments", "import", str(file), stdout=out)
    except CommandError as error:
        return out.getvalue().splitlines(), str(error)
    return out.getvalue().splitlines(), ""


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    return str(api.order(shop).body["order_no"])


def row(order_no: str, status: str = "succeeded", **changes: Any) -> str:
    told = {"payment_id": "pay_1", "created": "x", "order_no": order_no, "amount": 2500, "currency": "CNY"}
    told |= {"status": status, "occurred_at": "2026-11-30T10:00:00Z", "refund_id": "", "refund_amount": ""} | changes
    return ",".join(str(value) for value in told.values())


def test_a_payment_that_only_the_gateway_knows_pays_its_order(tmp_path: Path, order_no: str) -> None:
    said, error = load(tmp_path, row(order_no), row("ORD-1", payment_id="pay_2"), row(order_no, "failed"))
    assert error == ""
    assert [json.loads(line)["outcome"] for line in said[:-1]] == ["taken", "unknown_order"]
    assert said[-1] == "missing here, and taken as webhooks: 1 taken, 1 unknown_order"
    assert Confirmation.objects.get().run_id == Order.objects.get(order_no=order_no).run_id
    # Once more: nothing is missing
    assert load(tmp_path, row(order_no)) == (["missing here, and taken as webhooks: none"], "")


def test_a_refund_that_only_the_gateway_knows_is_noted(tmp_path: Path, order_no: str) -> None:
    confirm(order_no, says={"amount": 1})
    refunded = row(order_no, "refunded", amount=1, refund_id=Payment.objects.get().refunds.get().pk, refund_amount=1)
    assert load(tmp_path, refunded)[0][-1] == "missing here, and taken as webhooks: 1 refunded"
    assert Payment.objects.get().state == "RETURNED"
    assert load(tmp_path, refunded)[0] == ["missing here, and taken as webhooks: none"]


def test_what_differs_calls_a_person(tmp_path: Path, order_no: str) -> None:
    confirm(order_no)
    _, error = load(tmp_path, row(order_no, amount=2400))
    assert error == "1 row(s) contradict what is on record: a person is called for each"
    assert (Payment.objects.get().state, Payment.objects.get().review_run_id is None) == ("CONFLICT", False)


@pytest.mark.parametrize(
    ("rows", "columns", "why"),
    [
        ([], "payment_id,order_no,amount,currency", "the file has no column status"),
        (["p,o,1.5,CNY,succeeded"], "payment_id,order_no,amount,currency,status", "row 2 is no payment"),
        (["p,o"], "payment_id,order_no,amount,currency,status", "row 2 is no payment"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(tmp_path: Path, rows: list[str], columns: str, why: str) -> None:
    assert why in load(tmp_path, *rows, columns=columns)[1]
    assert not PaymentEvent.objects.exists()
