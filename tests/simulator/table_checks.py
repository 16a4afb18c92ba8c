"""What the tables of the shop and of the laboratory say of pools, holds, orders and keys, against the logs."""

from __future__ import annotations

from collections import Counter

from sagas.definition.definition import Definition
from sagas.states import State
from tests.simulator import entries
from tests.simulator.actors import Actors
from tests.simulator.books import Books, Entry, Run
from tests.simulator.entries import Complaints


def pools_add_up(books: Books, stock: int) -> Complaints:
    """Nothing of a pool is lost or doubled: what is free, held and sold is what there was, and what its holds say."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for holds in books.holds.values():
        for pool, key, _, quantity, state in holds:
            sums[pool, key, state] += quantity
    for (pool, key), (available, held, sold) in books.pools.items():
        if available + held + sold != stock:
            yield "pool", f"{pool} {key}: {available} + {held} + {sold} is not {stock}"
        if (held, sold) != (sums[pool, key, "HELD"], sums[pool, key, "CONFIRMED"]):
            yield "pool", f"{pool} {key}: {held} held and {sold} sold, and its holds say {dict(sums)}"


def holds_agree(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """A hold says what the log says."""
    last: dict[str, str] = {}
    for _, _, entry in entries.done(definition, log):
        if not entries.is_null(entry):
            last[entry.step] = {"try": "HELD", "confirm": "CONFIRMED", "cancel": "CANCELLED"}.get(entry.operation, "")
    wanted = {
        step: state for step, state in last.items() if entries.is_tcc(definition.all_steps[definition.index(step)])
    }
    if definition.name != "orders.PlaceOrder" and not run.request.get("jar"):
        wanted = {}
    found = {step: state for _, _, step, _, state in books.holds[run.id]}
    if found != wanted:
        yield "hold", f"it has {found}, and its log says {wanted}: {entries.told(log)}"


def order_agrees(books: Books, run: Run, log: list[Entry], *, by_hand: bool) -> Complaints:
    """An order, its lines, its price and its coupon say what the log says."""
    order = books.orders.get(run.id)
    if order is None:
        yield "order", "there is no order for it"
        return
    status, total, lines = order
    done = {f"{e.step}.{e.operation}" for e in log if e.outcome == "DONE"}
    if "create_order.confirm" in done:
        wanted = {"CONFIRMED"}
    elif "create_order.compensate" in done:
        wanted = {"REJECTED"}
    elif "create_order.forward" in done:
        wanted = {"PLACED"}
    else:
        # The hook that rejects what was never placed may be lost.
        wanted = {"RECEIVED", "REJECTED"} if run.state in {State.FAILED, State.COMPENSATING} else {"RECEIVED"}
    if by_hand:
        wanted |= {"RECEIVED", "REJECTED"}
    if status not in wanted:
        yield "shop", f"the order is {status}: {entries.told(log)}"
    item = run.request["items"][0]
    ordered = [[item["sku"], item["quantity"], item["unit_price_cents"]]] if "create_order.forward" in done else []
    if lines != ordered:
        yield "shop", f"the order's lines are {lines}, and not {ordered}"
    if total != max(item["quantity"] * item["unit_price_cents"] - run.request["discount_cents"], 0):
        yield "shop", f"the order costs {total}"
    yield from _coupon_agrees(books, run, done)


def _coupon_agrees(books: Books, run: Run, done: set[str]) -> Complaints:
    """The coupon of an order was used and given back as the log says, and its budget is what was granted."""
    coupon = run.request["coupon"]
    state = ""
    if coupon is not None and "apply_coupon.forward" in done:
        state = "REFUNDED" if "apply_coupon.compensate" in done else "USED"
    if books.redemptions[run.id] != ([(coupon, state)] if state else []):
        yield "shop", f"its redemptions are {books.redemptions[run.id]}, and not {coupon} {state}"
    used = [c for found in books.redemptions.values() for c, state in found if state == "USED"]
    if coupon is not None:
        available, sold, granted = books.coupons[coupon]
        if used.count(coupon) > granted or granted != sold or available + sold != 1:
            yield "shop", f"coupon {coupon}: {available} available, {sold} sold, {granted} granted, used are {used}"


def payment_agrees(books: Books, run: Run, log: list[Entry]) -> Complaints:
    """The payment of an order is taken, or due back with a run that sees to it, as the run's log says."""
    given_back = any(e.step == "payment" and (e.operation, e.outcome) == ("compensate", "DONE") for e in log)
    for state, why, sees_to_it in books.payments[run.id]:
        came = bool(books.confirmations[run.id])
        if not came and (state == "PARKED" or (state == "TAKEN" and run.state is State.SUCCEEDED)):
            continue  # it came while the run waited for a person; a lost hook leaves it to the sweep
        owed = ("undone" if given_back else "") if came else "too_late"
        if (why, state == "TAKEN", sees_to_it) != (owed, not owed, bool(owed)):
            yield "money", f"its payment is {state} {why!r}, and not due back {owed!r}: {entries.told(log)}"
    if books.confirmations[run.id] and not books.payments[run.id]:
        yield "money", "its payment is confirmed, and not on record"


def keys_are_apart(actors: Actors, books: Books) -> Complaints:
    """No two families are at the same business key at once."""
    spans: dict[tuple[str, str], list[int]] = {}
    for started in actors.runs.values():
        if started.saga.locks and (effects := [e.id for e in books.log[started.run_id] if e.outcome == "DONE"]):
            family = started.name.split(".")[0]
            for key in books.runs[started.run_id].request.get("keys", ())[: len(started.saga.locks)]:
                spans.setdefault((key, family), []).extend(effects)
    for (key, family), effects in spans.items():
        for (other_key, other), theirs in spans.items():
            if other_key == key and family < other and min(effects) < max(theirs) and min(theirs) < max(effects):
                yield "keys", f"{family} and {other} were both at {key}"
