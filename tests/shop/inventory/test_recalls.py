"""A batch is recalled while runs hold and have bought cups of it."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command

import sagas
from inventory import ledger, recalls, services
from inventory.models import Batch, SkuHold
from orders.models import Order
from orders.services import Wanted, place_order
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
    tables.empty("sagas_run", "sagas_log")
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
    assert recalls.sold_of(batch=bad) == [bought]
    told = StringIO()
    call_command("recall", bad, reason="again", by="li", stdout=told)
    assert told.getvalue().splitlines()[-1] == Order.objects.get(run_id=bought).order_no
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
