"""A batch is recalled while runs hold and have bought cups of it."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

import sagas
from delivery.models import FulfilmentState
from inventory import ledger, recalls, services
from inventory.models import Batch, Move, SkuHold
from orders.fulfilment.services import move
from orders.models import Order, OrderRefund
from orders.services import Wanted, place_order
from payments.models import Payment
from sagas import State
from sagas.models import Run
from sagas.pool import HoldState
from sagas.pool.relocation import relocate
from tests.shop.conftest import Shop, build_shop
from tests.support import tables
from tests.support.carrier import chains, claim_all, deliver_all


@pytest.fixture
def shop(no_worker: None, database: None) -> Shop:
    """A shop whose runs nobody moves but the test."""
    tables.empty(
        "sagas_run",
        "sagas_log",
        "orders_order",
        "orders_orderline",
        "orders_orderrefund",
        "payments_payment",
        "payments_refund",
    )
    return build_shop()


def order(shop: Shop, cups: int) -> UUID:
    """Place an order, and perform its steps."""
    run_id = place_order(
        order_no=f"R-{uuid4().hex[:8]}",
        customer_id=shop.customer.pk,
        items=[Wanted(shop.tea.code, cups)],
        slot=shop.slot.pk,
    )
    carry()
    return run_id


def carry() -> None:
    """Perform what is due, and no deadline."""
    for chain in chains(claim_all()):
        deliver_all(chain)


def receive(shop: Shop, cups: int, *, hours: float) -> str:
    """Receive cups that spoil so many hours after the slot."""
    spoils_at = shop.slot.ends_at + timedelta(hours=hours)
    return services.add_batch(sku=shop.tea.code, spoils_at=spoils_at, quantity=cups, reason="brewed", by="li")


def held(run_id: UUID, state: HoldState = HoldState.HELD) -> dict[str, int]:
    return dict(SkuHold.objects.filter(run_id=run_id, state=state).values_list("pool_key", "quantity"))


def counts(key: str) -> tuple[int, int, int, int]:
    return Batch.objects.values_list("available", "held", "sold", "written_off").get(key=key)


def pay(run_id: UUID) -> None:
    sagas.confirm(run_id, "payment", {"payment_id": f"pay-{run_id}", "amount": 1, "currency": "CNY"})
    carry()


def test_holds_of_a_recalled_batch_move_or_their_runs_are_undone_and_all_is_explained(shop: Shop) -> None:
    # Given a batch of which one order has bought, and four hold cups, one of them of another batch, too
    services.write_off(batch=shop.tea.code, quantity=100, reason="no more of it", by="li")
    bad = receive(shop, 10, hours=2)
    bought = order(shop, 1)
    pay(bought)
    holding = [order(shop, cups) for cups in (3, 2, 1)]
    good = receive(shop, 6, hours=3)
    spanning = order(shop, 5)
    assert held(spanning) == {bad: 3, good: 2}

    # When it is recalled, and there is room for some of them elsewhere: 4 are left
    done = recalls.recall(batch=bad, reason="a bad lemon", by="li")

    # Then those first in line hold other cups, as long as there are any
    moved = {run_id: held(run_id) for run_id in [*holding, spanning]}
    assert (done.moved, done.cancelled, done.decided) == (2, 2, 0)
    assert [moved[run_id] for run_id in holding] == [{good: 3}, {bad: 2}, {good: 1}]
    undone = [run_id for run_id in [*holding, spanning] if Run.objects.get(pk=run_id).state == State.COMPENSATING]
    assert undone == [holding[1], spanning]
    # And the undone give back what they held, which is thrown away
    carry()
    assert counts(bad) == (0, 0, 1, 9)
    assert counts(good) == (2, 4, 0, 0)
    assert set(Order.objects.filter(run_id__in=undone).values_list("status", flat=True)) == {"REJECTED"}
    # And a moved run is confirmed as any other
    pay(holding[0])
    assert held(holding[0], HoldState.CONFIRMED) == {good: 3}
    # And what was sold is known, and every cup explained
    assert recalls.sold_cups(batch=bad) == {bought: 1}
    assert [row for row in ledger.unexplained() if row[0].startswith(shop.tea.code)] == []


def test_a_hold_that_moves_to_a_batch_of_which_its_run_holds_already_is_one_hold(shop: Shop) -> None:
    services.write_off(batch=shop.tea.code, quantity=100, reason="no more of it", by="li")
    bad, good = receive(shop, 2, hours=2), receive(shop, 9, hours=3)
    run_id = order(shop, 5)
    assert held(run_id) == {bad: 2, good: 3}
    recalls.recall(batch=bad, reason="a bad lemon", by="li")
    assert held(run_id) == {good: 5}
    assert (counts(bad), counts(good)) == ((0, 0, 0, 2), (4, 5, 0, 0))
    pay(run_id)
    assert Run.objects.get(pk=run_id).state == State.SUCCEEDED
    assert [row for row in ledger.unexplained() if row[0].startswith(shop.tea.code)] == []


def test_a_recall_in_the_admin_moves_holds_and_undoes_orders_as_the_command_does(shop: Shop) -> None:
    # Given a batch of which one order has bought, and two hold cups; there is room elsewhere for one of them
    services.write_off(batch=shop.tea.code, quantity=100, reason="no more of it", by="li")
    bad = receive(shop, 6, hours=2)
    bought, first, second = order(shop, 1), order(shop, 2), order(shop, 3)
    pay(bought)
    good = receive(shop, 2, hours=3)
    admin = Client()
    admin.force_login(get_user_model()._default_manager.create_superuser(f"boss-{uuid4().hex[:8]}", password="pw"))
    page = f"/admin/inventory/batch/{quote(bad)}/change/"

    # When somebody recalls it without a reason, then with one, and then once more
    refused = admin.post(page, {"change": "recall", "reason": " "})
    assert "Say why the stock changes." in refused.content.decode()
    assert Batch.objects.get(key=bad).recalled_at is None
    answers = [admin.post(page, {"change": "recall", "reason": "a bad lemon"}, follow=True) for _ in range(2)]

    # Then the first in line has other cups, the second is undone, and what was sold is told of
    assert (held(first), Run.objects.get(pk=second).state) == ({good: 2}, State.COMPENSATING)
    told = answers[0].content.decode()
    assert "1 holds moved, 1 orders are being undone." in told
    assert "1 orders have bought cups of it: manage.py recall refunds them." in told
    assert "0 holds moved" in answers[1].content.decode()
    assert Move.objects.filter(batch=bad, kind="RECALLED", reason="a bad lemon").count() == 1


def test_a_recall_that_dies_half_way_goes_on_where_it_was(shop: Shop) -> None:
    # Given a recall of three runs' holds that dies after the first
    services.write_off(batch=shop.tea.code, quantity=100, reason="no more of it", by="li")
    bad, good = receive(shop, 3, hours=2), receive(shop, 2, hours=3)
    runs = [order(shop, 1) for _ in range(3)]
    dying = patch.object(recalls, "relocate", side_effect=_dying(relocate))
    with patch.object(recalls, "COHORT", 1), dying, pytest.raises(KeyboardInterrupt):
        recalls.recall(batch=bad, reason="a bad lemon", by="li")

    # When it is repeated
    done = recalls.recall(batch=bad, reason="a bad lemon", by="li")

    # Then it does the rest, and nothing twice
    assert (done.moved, done.cancelled) == (1, 1)
    assert [held(run_id) for run_id in runs] == [{good: 1}, {good: 1}, {bad: 1}]
    assert recalls.recall(batch=bad, reason="a bad lemon", by="li").moved == 0


def _dying(honest: object) -> object:
    calls = iter([False, True])

    def call(*args: object, **kwargs: object) -> object:
        if next(calls):
            raise KeyboardInterrupt
        return honest(*args, **kwargs)  # type: ignore[operator]  # that of the module

    return call


def told(batch: str, *more: str) -> list[str]:
    said = StringIO()
    call_command("recall", batch, *more, reason="a bad lemon", by="li", stdout=said)
    return said.getvalue().splitlines()


def test_what_was_sold_of_a_recalled_batch_is_refunded_once_in_a_persons_name(shop: Shop) -> None:
    # Given an order with cups of two batches, one that is made, one that is not decided, and a campaign
    services.write_off(batch=shop.tea.code, quantity=100, reason="no more of it", by="li")
    bad, good = receive(shop, 6, hours=2), receive(shop, 9, hours=3)
    services.allocate(
        sku=shop.tea.code, quantity=1, to="campaign 7", needed_until=shop.slot.ends_at, reason="opens", by="li"
    )
    made, open_, spanning = order(shop, 1), order(shop, 1), order(shop, 5)
    assert held(spanning) == {bad: 3, good: 2}
    for run_id in (made, spanning):
        pay(run_id)
    numbers = dict(Order.objects.values_list("run_id", "order_no"))
    for run_id, amount in ((made, 1250), (spanning, 6250)):
        Payment.objects.create(
            gateway="main",
            payment_id=f"pay-{run_id}",
            order_no=numbers[run_id],
            run_id=run_id,
            amount=amount,
            currency="CNY",
            state="TAKEN",
        )
    move(order_no=numbers[made], to=FulfilmentState.MAKING, version=1, by="li")

    # When it is tried, then it says what would be done, and does nothing
    assert told(bad, "--dry-run") == [
        f"0 cup(s) of {bad} would be thrown away",
        "1 order(s) under way hold 1: they would get others, of which 7 are there, or be undone",
        f"{numbers[made]}: 1 cup(s) would be refunded",
        f"{numbers[spanning]}: 3 cup(s) would be refunded",
        "campaign 7 has 1 cup(s) of it, among others: call it off, or refund its members",
        "Nothing was changed.",
    ]
    assert (held(open_), OrderRefund.objects.count()) == ({bad: 1}, 0)

    # When it is done
    assert told(bad) == [
        "1 hold(s) moved, 0 order(s) being undone",
        f"{numbers[made]}: 1 cup(s) are refunded, 1250 (minor units) go back",
        f"{numbers[spanning]}: 3 cup(s) are refunded, 3750 (minor units) go back",
        "campaign 7 has 1 cup(s) of it, among others: call it off, or refund its members",
    ]
    # Twice: what is behind a pivot is claimed anew
    carry()
    carry()
    runs = Run.objects.filter(pk__in=OrderRefund.objects.values("run_id"))
    assert set(runs.values_list("state", "reason")) == {("SUCCEEDED", None)}
    # Then those cups are refunded by name, with the reason, and what is not made of them is thrown away
    assert set(OrderRefund.objects.values_list("by", "reason")) == {("li", f"batch {bad} is recalled: a bad lemon")}
    assert held(open_) == {good: 1}
    assert held(spanning, HoldState.CONFIRMED) == {good: 2}
    assert counts(bad) == (0, 0, 1, 4)
    # And a repeat refunds nothing twice
    assert told(bad) == [
        "0 hold(s) moved, 0 order(s) being undone",
        f"{numbers[made]}: is refunded already",
        "campaign 7 has 1 cup(s) of it, among others: call it off, or refund its members",
    ]
    assert OrderRefund.objects.count() == 2
    assert [row for row in ledger.unexplained() if row[0].startswith(shop.tea.code)] == []


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_what_cannot_be_recalled_is_refused_in_words(shop: Shop, dry: tuple[str, ...]) -> None:
    for batch, words in (("NO-SUCH", "There is no batch"), (shop.tea.code, "own batch cannot be recalled")):
        with pytest.raises(CommandError, match=words):
            told(batch, *dry)
    with pytest.raises(CommandError, match="Say why"):
        call_command("recall", shop.tea.code, *dry, reason=" ", by="li")
