"""Many customers at once: they place orders, pay some of them, and repeat requests without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

from payments.models import Payment, PaymentState
from sagas.models import Run
from tests.support.awaiting import eventually
from tests.support.shop import PEACH, TEA, Shop, run_of
from tests.support.web import Caller, Reply

#: Answers from this status on are repeated, as are requests without an answer.
_TRY_LATER = 500


@dataclass(frozen=True)
class Placed:
    """One order of these customers.

    Attributes:
        order_no: its number.
        paid: the answer to its payment: 200, 409, or ``None`` for one that nobody paid.
        contested: whether it asked for a coupon that another order asked for as well.
        seconds: how long the answer to its POST took, at the attempt that was answered.
    """

    order_no: str
    paid: int | None
    contested: bool
    seconds: float


class Customers:
    """Customers on a few threads. Every second order is paid at once; every tenth wants its neighbour's coupon.

    Use it in a ``with`` block, which waits for all answers at its end.
    """

    def __init__(self, customer: Caller, shop: Shop, *, threads: int = 4) -> None:
        self.customer = customer
        self.shop = shop
        self.orders: list[Placed] = []
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(threads)
        self._futures: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._closed.set()
            self._pool.shutdown(cancel_futures=True)
        else:
            self.await_answers()
            self._pool.shutdown()

    def place_orders(self, count: int) -> None:
        """Place ``count`` more orders, in the background."""
        first = len(self._futures)
        self._futures += [self._pool.submit(self._order, number) for number in range(first, first + count)]

    def await_answers(self, count: int | None = None) -> None:
        """Wait until so many orders are accepted, and paid where they are to be; all, if no number is given."""
        if count is None:
            for future in self._futures:
                future.result(timeout=90)
        else:
            eventually(lambda: len(self.orders) >= count or self._failed(), within=60, what=f"{count} orders placed")

    def assert_outcomes(self) -> None:
        """Assert that orders paid in time succeeded, others were cancelled, and a coupon was used once at most.

        The payment of an order that was paid and did not get its coupon is due back.
        """
        fates = {str(key): (state, reason) for key, state, reason in _fates()}
        for order in self.orders:
            state, reason = fates[order.order_no]
            allowed = [("SUCCEEDED", "")] if order.paid == 200 else [("FAILED", "NotConfirmed")]
            if order.contested:
                allowed.append(("FAILED", "CouponUsed"))
            assert (state, reason["code"] if reason else "") in allowed, f"{order}: {state} {reason}"
        own = {order.order_no: fates[order.order_no][0] for order in self.orders}
        assert set(own.values()) == {"SUCCEEDED", "FAILED"}
        # A payment that came too late (409) is due back as well.
        due_back = set(Payment.objects.filter(state=PaymentState.RETURNING).values_list("order_no", flat=True))
        assert due_back == {o.order_no for o in self.orders if o.paid is not None and own[o.order_no] == "FAILED"}

    def runs(self) -> list[UUID]:
        """The runs of all orders that were accepted."""
        return [run_of(order.order_no) for order in self.orders]

    def _order(self, number: int) -> None:
        contested = number % 10 in {4, 5}
        coupon = f"C{number - number % 10 + 4 if contested else number}"
        items: Sequence[tuple[str, int]] = [(TEA, 1 + number % 3), (PEACH, 1)] if number % 4 else [(TEA, 2)]
        key = uuid4().hex
        placed = self._insist(lambda: self.customer.place(items, slot=self.shop.slot, coupon=coupon, key=key))
        assert placed.status == 202, placed
        order_no = str(placed.body["order_no"])
        paid = self._insist(lambda: self.customer.pay(order_no)).status if number % 2 else None
        assert paid in {None, 200, 409}, paid
        self.orders.append(Placed(order_no, paid, contested, placed.seconds))

    def _insist(self, call: Callable[[], Reply]) -> Reply:
        """Repeat a request until it is answered, as clients do after a network error."""

        def answered() -> Reply | None:
            if self._closed.is_set():
                raise RuntimeError("the test is over")
            try:
                reply = call()
            except OSError:
                return None
            return None if reply.status >= _TRY_LATER else reply

        found = eventually(answered, within=60, what="an answer")
        assert found is not None
        return found

    def _failed(self) -> bool:
        for future in self._futures:
            if future.done():
                future.result()
        return False


def _fates() -> list[tuple[str, str, dict[str, str] | None]]:
    return list(Run.objects.values_list("business_key", "state", "reason"))
