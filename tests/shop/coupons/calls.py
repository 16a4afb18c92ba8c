"""Coupons of every kind, and calls of the participants that use them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from coupons.models import Coupon, Grant
from orders.requests import Item, OrderRequest
from sagas import Call, Done, Operation
from sagas.definition.participants import SetBasedFunction
from tests.shop.conftest import Shop


def coupon(*, days: float = 1, **fields: Any) -> str:
    """A coupon of five yuan for one order of anyone, unless changed."""
    made = {"discount_cents": 500, "expires_at": timezone.now() + timedelta(days=days), **fields}
    return Coupon.objects.create(code=f"C{uuid4().hex[:12]}", **made).code


def ask(shop: Shop, code: str | None = None, *, customer: User | None = None) -> Call[OrderRequest]:
    """A call for an order with a coupon."""
    whose = (customer or shop.customer).pk
    request = OrderRequest(
        f"ORD-{uuid4().hex[:8]}", whose, (Item(shop.tea.code, 2, 1250),), shop.slot.pk, code, 500 if code else 0
    )
    return Call(uuid4(), "apply_coupon", Operation.FORWARD, 1, request)


def outcomes(participant: SetBasedFunction[Any], calls: Sequence[Call[Any]]) -> list[Any]:
    """Classes of the refusals, results of the others."""
    answers = participant.many(calls)
    return [answer.result if isinstance(answer, Done) else type(answer) for answer in answers]


def states(code: str) -> list[str]:
    """The states of a coupon's grants, in the order in which they were made."""
    return list(Grant.objects.filter(coupon=code).order_by("id").values_list("state", flat=True))


def budget(code: str) -> tuple[int, int, int]:
    """What of a coupon is available, held and sold."""
    available, held, sold = Coupon.objects.values_list("available", "held", "sold").get(code=code)
    return available, held, sold
