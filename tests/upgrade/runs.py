"""Make runs, and perform their messages one by one until each run is in the state that is wanted."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils import timezone

import sagas
from coupons.models import Coupon
from delivery.models import Slot
from inventory.services import add_sku
from orders.models import Order as ShopOrder
from orders.requests import Item, OrderRequest
from orders.sagas import PlaceOrder
from tests.upgrade import worker
from tests.upgrade.sagas import (
    Afar,
    Breaking,
    Changed,
    Died,
    Forked,
    Keyed,
    Order,
    Parent,
    Pivoted,
    Remote,
    Travelling,
    Wish,
)
from tests.upgrade.worker import EVENTS_QUEUE, Message, dispatch, let_time_pass, perform, query, taken


class RunMaker:
    """Makes the runs.

    Attributes:
        ids: each run's id, by the name that says what is special about it.
        waiting: the messages that were taken off the queues and not performed.
    """

    def __init__(self) -> None:
        self.ids: dict[str, UUID] = {}
        self.waiting: list[Message] = []
        call_command("sagas", "topology", verbosity=0)
        worker.ready()
        worker.listen()
        self._open_shop()

    def make(self) -> None:
        """Make all runs. Those that must not be claimed come last, because every dispatch claims what is due."""
        for part in (
            self._orders,
            self._people,
            self._others,
            self._other_systems,
            self._shop,
            self._breaker,
            self._last,
        ):
            part()
        self._collect()

    # -- the runs -----------------------------------------------------------------------------------------------------

    def _orders(self) -> None:
        self._begun("begun", Order)
        self._forward("halfway", Order, 1)
        # The worker was killed between the commit and the next link, so the message is delivered again.
        self._begun("done and delivered again", Order)
        again = list(self._messages_of("done and delivered again"))
        self._perform("done and delivered again")
        self._drop("done and delivered again")
        self.waiting += again
        self._forward("waiting", Order, 3)
        self._forward("half confirmed", Order, 3)
        sagas.confirm(self.ids["half confirmed"], "approval", {"by": "mei"})
        self._confirmed("half confirming", Order)
        self._perform("half confirming")
        self._forward("undoing", Order, 3)
        sagas.cancel(self.ids["undoing"], reason="changed my mind", by="Lin")
        dispatch()
        self._collect()
        self._perform("undoing")
        # The payment comes before the steps are done; then the third step is rejected.
        self._start("to be refunded", Order, rejects=("three",))
        sagas.confirm(self.ids["to be refunded"], "payment", {"payment_id": "P-1"})
        dispatch()
        self._collect()
        for _ in range(3):
            self._perform("to be refunded")
        self._confirmed("succeeded", Order)
        self._perform_all("succeeded")
        self._forward("failed", Order, 2)
        sagas.cancel(self.ids["failed"], reason="changed my mind", by="Lin")
        dispatch()
        self._collect()
        self._perform_all("failed")
        # Its message is lost twice.
        self._forward("interrupted", Order, 1)
        for _ in range(2):
            self._drop("interrupted")
            let_time_pass(self.ids["interrupted"])
            dispatch(tick=True)
            self._collect()

    def _people(self) -> None:
        self._confirmed("confirm that breaks", Order, breaks=("one.confirm",))
        self._until_escalated("confirm that breaks")
        for name, step in (("undo that breaks", "two"), ("ended by hand", "three")):
            self._forward(name, Order, 3, breaks=(f"{step}.compensate",))
            sagas.cancel(self.ids[name])
            dispatch()
            self._collect()
            self._until_escalated(name)
        sagas.acknowledge(self.ids["undo that breaks"], by="mei")
        sagas.assign(self.ids["undo that breaks"], to="bo", by="mei")
        self._forward("broken behind the pivot", Pivoted, 2, breaks=("three.forward",))
        self._until_escalated("broken behind the pivot")
        # Publishes notices of the escalations.
        dispatch(tick=True)
        self._collect()

    def _others(self) -> None:
        self._forward("accepted", Forked, 1)
        self._perform("accepted", step="right")
        self._forward("forked", Forked, 1)
        self._perform("forked", step="left")
        self._forward("changed", Changed, 1)
        self._forward("first in line", Keyed, 0, key="table-7")
        self._start("second in line", Keyed, key="table-7")
        dispatch()
        self._collect()
        for name in ("child begun", "child waiting", "parent undoing"):
            self._forward(name, Parent, 2)
            ((child,),) = query("SELECT id FROM sagas_run WHERE parent_id = %s", [self.ids[name]])
            self.ids[f"{name}: child"] = child
            dispatch()
            self._collect()
        for name in ("child waiting", "parent undoing"):
            self._perform_all(f"{name}: child")
        sagas.cancel(self.ids["parent undoing"])
        dispatch()
        self._collect()
        self._forward("travelling", Travelling, 1)
        self._confirmed("travelling to its end", Travelling)

    def _other_systems(self) -> None:
        self._forward("afar", Afar, 2)
        self._forward("done there and not here", Afar, 1, dies="two.forward")
        again = list(self._messages_of("done there and not here"))
        with suppress(Died):
            self._perform("done there and not here")
        self.waiting += again
        # It is undone before its forward operation was performed; the message of that one is still to come.
        self._forward("undone before it was done", Afar, 1)
        sagas.cancel(self.ids["undone before it was done"])
        late = self._drop("undone before it was done")
        dispatch()
        self._collect()
        self._perform("undone before it was done")
        self.waiting += late

    def _shop(self) -> None:
        for name, steps in (("order begun", 2), ("order waiting", 4), ("order undoing", 4), ("order confirming", 4)):
            self._place(name)
            dispatch()
            self._collect()
            for _ in range(steps):
                self._perform(name)
        sagas.cancel(self.ids["order undoing"], reason="changed my mind")
        sagas.confirm(self.ids["order confirming"], "payment", {"payment_id": "P-2"})
        dispatch()
        self._collect()
        self._perform("order undoing")
        self._perform("order confirming")

    def _breaker(self) -> None:
        broken = ["broken 1", "broken 2", "broken 3"]
        for name in broken:
            self._confirmed(name, Breaking, breaks=("one.confirm",))
        while self.states()[broken[-1]] != "ESCALATED":
            for name in broken:
                if self._messages_of(name):
                    self._perform(name)
                let_time_pass(self.ids[name])
            dispatch()
            self._collect()
        self._forward("behind a breaker", Breaking, 1)
        sagas.confirm(self.ids["behind a breaker"], "approval")
        dispatch()
        self._collect()

    def _last(self) -> None:
        self._forward("retrying", Order, 1, breaks=("two.forward",))
        self._forward("branch retrying", Forked, 1, breaks=("left.forward",))
        self._perform("branch retrying", step="left")
        self._forward("confirming", Order, 3)
        self._forward("late", Order, 3)
        self._forward("rejected", Order, 1, rejects=("two",))
        self._forward("asked", Remote, 1)
        dispatch()
        self._perform("retrying")
        self._perform("rejected")
        self._perform("asked")
        for name in ("approval", "payment"):
            sagas.confirm(self.ids["confirming"], name, {})
        self._start("placed", Order)
        query(
            "UPDATE sagas_run SET started_at = started_at - interval '3 hours', deadline = deadline - interval "
            "'3 hours', due_at = due_at - interval '3 hours' WHERE id = %s",
            [self.ids["late"]],
        )

    # -- how they are made --------------------------------------------------------------------------------------------

    def _start(self, name: str, saga: Any, **wish: Any) -> None:
        self.ids[name] = sagas.start(saga, Wish(**wish), business_key=name)

    def _begun(self, name: str, saga: Any, **wish: Any) -> None:
        self._start(name, saga, **wish)
        dispatch()
        self._collect()

    def _forward(self, name: str, saga: Any, steps: int, **wish: Any) -> None:
        self._begun(name, saga, **wish)
        for _ in range(steps):
            self._perform(name)

    def _confirmed(self, name: str, saga: Any, **wish: Any) -> None:
        """Start a run, perform all steps, confirm it, and have it claimed."""
        self._begun(name, saga, **wish)
        self._perform_all(name)
        for confirmation in [name for name in ("approval", "payment") if hasattr(saga, name)]:
            sagas.confirm(self.ids[name], confirmation, {"by": "mei"})
        dispatch()
        self._collect()

    def _until_escalated(self, name: str) -> None:
        while self.states()[name] != "ESCALATED":
            self._perform_all(name)
            let_time_pass(self.ids[name])
            dispatch()
            self._collect()

    def _perform_all(self, name: str) -> None:
        while self._messages_of(name):
            self._perform(name)

    def _perform(self, name: str, *, step: str = "") -> None:
        """Perform the first message of a run, and take the messages that follow off the queues."""
        message = next(m for m in self._messages_of(name) if not step or f'"step": "{step}"' in m["body"])
        self.waiting.remove(message)
        perform(message)
        self._collect()

    def _messages_of(self, name: str) -> list[Message]:
        tasks = ("sagas.step", "sagas.event")
        return [m for m in self.waiting if m["headers"]["task"] in tasks and str(self.ids[name]) in m["body"]]

    def _drop(self, name: str) -> list[Message]:
        dropped = self._messages_of(name)
        for message in dropped:
            self.waiting.remove(message)
        return dropped

    def _collect(self) -> None:
        self.waiting += taken()

    def _place(self, name: str) -> None:
        """Insert an order of the shop, as its API does."""
        request = OrderRequest(
            order_no=name,
            customer_id=self._customer,
            items=(Item("TEA", 2, 1500),),
            slot=self._slot,
            coupon=name,
            discount_cents=500,
        )
        self.ids[name] = sagas.start(PlaceOrder, request, business_key=name)
        ShopOrder.objects.create(
            order_no=name,
            run_id=self.ids[name],
            customer_id=self._customer,
            slot=self._slot,
            coupon=name,
            discount_cents=500,
        )

    def _open_shop(self) -> None:
        tomorrow = timezone.now() + timedelta(days=1)
        self._customer = get_user_model()._default_manager.create(username="lin").pk
        add_sku(code="TEA", name="Tea", price_cents=1500, available=100)
        self._slot = Slot.objects.create(starts_at=tomorrow, ends_at=tomorrow + timedelta(hours=2), available=100).pk
        for name in ("order begun", "order waiting", "order undoing", "order confirming"):
            Coupon.objects.create(
                code=name, customer_id=self._customer, discount_cents=500, expires_at=tomorrow + timedelta(days=300)
            )

    # -- what is written ----------------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Return the state of each run."""
        found = dict(query("SELECT id, state FROM sagas_run"))
        return {name: found[run_id] for name, run_id in self.ids.items()}

    def messages(self) -> list[Message]:
        """Return the messages that were not performed; of those that only ask for a dispatch, one of each queue."""
        dispatches = {m["queue"]: m for m in self.waiting if m["headers"]["task"] == "sagas.dispatch"}
        return [m for m in self.waiting if m["headers"]["task"] != "sagas.dispatch"] + list(dispatches.values())

    def events(self) -> list[Message]:
        """Return the domain events of one run that were published, and note that a consumer has taken the first."""
        found = [m for m in taken(EVENTS_QUEUE) if str(self.ids["halfway"]) in m["body"]]
        query(
            "INSERT INTO sagas_inbox (consumer, event_id) VALUES ('mailer', %s)",
            [json.loads(found[0]["body"])["id"]],
        )
        query("INSERT INTO upgrade_made VALUES (now())")
        return found
