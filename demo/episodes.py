"""Four more stories, at the same time: a payment that comes too late, a juice, and two group buys.

Each is a generator of lines, which ends by itself if all went as it should, and raises ``Unexpected`` if not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo.client import Api, Unexpected
from demo.people import Payer, Staff
from demo.story import FINAL

#: A drink that is good for less than two hours.
_JUICE = "JUICE-M"
#: Its order is paid when so many seconds of its 30 are left.
_LAST_SECONDS = 1.5
#: How long the group buys can be joined, and how long after that they may be paid.
_SECONDS_TO_JOIN = 12
_SECONDS_TO_PAY = 2
#: Members that each group buy needs, and cups that are set aside: one more than both need.
_MINIMUM = 2
_QUOTA = 3
#: Enough for a juice to wait 30 s, and for a group buy to be settled.
_SECONDS_IN_ALL = 90
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """Something that has happened: to what, or by whom; what; and more about it."""

    what: str
    value: str
    more: str = ""


#: States that an order passes in a moment. No line tells of them.
_PASSING = {"PENDING", "EXECUTING", "CONFIRMING"}
#: ``None``: nothing has happened since the last look.
Telling = Iterator[Line | None]


@dataclass
class Episode:
    """One story.

    Attributes:
        title: what happens, in a few words.
        telling: its lines.
        last: the last of them.
        fault: what was not as it should be.
        has_ended: whether nothing more comes.
    """

    title: str
    telling: Telling
    last: Line | None = None
    fault: str = ""
    has_ended: bool = False

    @property
    def is_right(self) -> bool:
        """Whether it ended as it should."""
        return self.has_ended and not self.fault

    def go_on(self) -> Iterator[Line]:
        """Tell what has happened since the last look."""
        if self.has_ended:
            return
        try:
            while (line := next(self.telling)) is not None:
                self.last = line
                yield line
        except StopIteration:
            self.has_ended = True
        except Unexpected as error:
            self.has_ended, self.fault = True, str(error)


@dataclass
class Cast:
    """Who takes part.

    Attributes:
        members: the customers; the first places the orders.
        payer: pays them.
        staff: opens the group buys.
        slot: id of the delivery slot of everything.
    """

    members: list[Api]
    payer: Payer
    staff: Staff
    slot: int


def tell(episodes: list[Episode]) -> Iterator[tuple[Episode, Line]]:
    """Go on with all of them until they have ended."""
    end = time.monotonic() + _SECONDS_IN_ALL
    while not all(episode.has_ended for episode in episodes) and time.monotonic() < end:
        for episode in episodes:
            for line in episode.go_on():
                yield episode, line
        time.sleep(_POLL_SECONDS)
    for episode in episodes:
        if not episode.has_ended:
            episode.fault = "it has not ended in time"


def begin(cast: Cast, *, undone: str) -> list[Episode]:
    """Begin the four.

    Args:
        cast: who takes part.
        undone: number of the order that nobody has paid in time.
    """
    menu = sorted(cast.members[0].menu(), key=lambda sku: -int(sku["available"]))
    drinks = [sku["sku"] for sku in menu if sku["sku"] != _JUICE and sku["available"] >= _QUOTA]
    if len(drinks) < 2 or not any(sku["sku"] == _JUICE for sku in menu):
        raise Unexpected(f"The group buys need {_QUOTA} cups of two drinks, and {_JUICE} must be on the menu.")
    return [
        Episode("paid too late", _late(cast, undone)),
        Episode("juice, last second", _juice(cast)),
        Episode("group that forms", _group(cast, drinks[0], members=_MINIMUM)),
        Episode("group too small", _group(cast, drinks[1], members=_MINIMUM - 1)),
    ]


def _late(cast: Cast, order_no: str) -> Telling:
    """Pay an order that is undone. The money goes back."""
    api = cast.members[0]
    order = api.order(order_no)
    yield Line("order", order["state"], "its 30 s are over")
    cast.payer.pay(order)
    yield Line("customer", "pays", _money(order["total_amount"], order))
    yield from _returned(api, order_no)


def _juice(cast: Cast) -> Telling:
    """Pay an order of a short-lived drink when its time is all but over: its confirmation is one commit."""
    api, began = cast.members[0], time.monotonic()
    body = {"items": [{"sku": _JUICE, "quantity": 1}], "slot": cast.slot}
    order_no = api.place(body, wait=8)["order_no"]
    took = time.monotonic() - began
    order = api.order(order_no)
    yield Line("order", order["state"], f"all steps in one commit, after {took:.2f} s")
    if order["state"] != "AWAITING_CONFIRM":
        raise Unexpected(f"the order is {order['state']}: {order['reason']}")
    deadline = datetime.fromisoformat(order["confirm_deadline"])
    while (left := (deadline - datetime.now(UTC)).total_seconds()) > _LAST_SECONDS:
        yield None
    cast.payer.pay(order)
    yield Line("customer", "pays", f"with {left:.1f} s left")
    yield from _states("order", lambda: api.order(order_no), "SUCCEEDED", known=order["state"])


def _group(cast: Cast, sku: str, *, members: int) -> Telling:
    """Open a group buy that needs two, have so many join and pay, and see it to its end."""
    api = cast.members[0]
    before = _available(api, sku)
    slug = f"demo-{members}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    cast.staff.open_campaign(
        slug=slug,
        title=f"Demo: {sku} together",
        sku=sku,
        price_cents=900,
        slot=cast.slot,
        minimum=_MINIMUM,
        capacity=_MINIMUM,
        quota=_QUOTA,
        most_cups=1,
        payment_window=f"00:00:{_SECONDS_TO_PAY:02d}",
        seconds=_SECONDS_TO_JOIN,
    )
    found = next((campaign for campaign in api.campaigns() if campaign["slug"] == slug), None)
    if found is None:
        raise Unexpected(f"the group buy {slug} was opened, and is not listed")
    campaign_id = found["id"]
    yield Line("staff", "opens", f"{_MINIMUM} are needed in {_SECONDS_TO_JOIN} s; {_QUOTA} cups of {sku}")
    orders = []
    for number, member in enumerate(cast.members[:members], 1):
        order_no = member.join(campaign_id)["order_no"]
        orders.append((member, order_no))
        yield Line(f"member {number}", "joins", order_no)
        yield from _states(f"member {number}", _reader(member, order_no), "AWAITING_CONFIRM")
        order = member.order(order_no)
        cast.payer.pay(order)
        yield Line(f"member {number}", "pays", _money(order["total_amount"], order))
    has_formed = members >= _MINIMUM
    yield from _decision(api, campaign_id, "FORMED" if has_formed else "SHORT")
    for number, (member, order_no) in enumerate(orders, 1):
        end = "SUCCEEDED" if has_formed else "FAILED"
        yield from _states(f"member {number}", _reader(member, order_no), end, known="AWAITING_CONFIRM")
        if not has_formed:
            yield from _returned(member, order_no)
    # When nobody can join any more, the stock gets back what was not sold.
    while api.campaign(campaign_id)["state"] != "SETTLED":
        yield None
    expected = before - (members if has_formed else 0)
    while (now := _available(api, sku)) != expected:
        yield None
    yield Line("group buy", "SETTLED", f"{sku}: {before} before, {before - _QUOTA} meanwhile, {now} after")


def _decision(api: Api, campaign_id: int, expected: str) -> Telling:
    known = ""
    while True:
        campaign = api.campaign(campaign_id)
        told = f"{campaign['paid']} of {campaign['minimum']} have paid"
        outcome = campaign["outcome"]
        if outcome == expected:
            # A member of a group that is short leaves it: what counts was told before.
            yield Line("group buy", outcome, told if outcome == "FORMED" else "")
            return
        if outcome:
            raise Unexpected(f"the group buy is {outcome}, {expected} was expected")
        if campaign["paid"] and told != known:
            known = told
            yield Line("group buy", campaign["state"], told)
        yield None


def _returned(api: Api, order_no: str) -> Telling:
    """Follow the payment of an order until all of it is returned."""
    # Nothing else is looked at for a second: a gateway that is near returns it sooner than the next look.
    known, closely = "", time.monotonic() + 1
    while known != "RETURNED":
        for payment in api.order(order_no)["payments"]:
            if payment["state"] != known:
                known = payment["state"]
                yield Line("payment", known, _about(payment))
        if known != "RETURNED" and time.monotonic() > closely:
            yield None


def _about(payment: dict[str, Any]) -> str:
    if payment["state"] != "RETURNED":
        return str(payment["reason"]).replace("_", " ")
    took = datetime.fromisoformat(payment["returned_at"]) - datetime.fromisoformat(payment["received_at"])
    return f"{_money(payment['returned_amount'], payment)}, {took.total_seconds():.2f} s after it came"


def _states(what: str, read: Callable[[], dict[str, Any]], end: str, known: str = "") -> Telling:
    """Follow an order until it is in a state; it must not end in another one."""
    while known != end:
        order = read()
        if order["state"] != known:
            known = order["state"]
            if known not in _PASSING:
                yield Line(what, known, (order["reason"] or {}).get("detail", ""))
        if known in FINAL and known != end:
            raise Unexpected(f"the order is {known}, {end} was expected")
        if known != end:
            yield None


def _reader(member: Api, order_no: str) -> Callable[[], dict[str, Any]]:
    return lambda: member.order(order_no)


def _available(api: Api, sku: str) -> int:
    return next(int(found["available"]) for found in api.menu() if found["sku"] == sku)


def _money(amount: int, of: dict[str, Any]) -> str:
    return f"{amount // 100}.{amount % 100:02d} {of['currency']}"
