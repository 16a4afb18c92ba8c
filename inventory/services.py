"""Changes of the stock by people, each with a reason and a row of the ledger. Those by sagas are in ``participants``.

Whoever changes batches of a SKU locks the SKU's own batch first, as the sagas do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Now

from inventory.models import Batch, Move, MoveKind, Sku, SkuHold
from inventory.participants import stock
from sagas import Rejected
from sagas.pool import HoldState
from sagas.pool.batches import SEPARATOR

#: Why not every batch can be recalled.
OWN_BATCH = "A SKU's own batch cannot be recalled; what may be recalled is received as a batch. Write it off."


class StockRefused(Exception):
    """The change cannot be made, and nothing was written; the text says why."""


@transaction.atomic
def add_sku(
    *,
    code: str,
    name: str,
    price_cents: int,
    available: int = 0,
    active: bool = True,
    shelf_life_minutes: int | None = None,
    reason: str = "first stock",
    by: str = "system",
) -> Sku:
    """Create a SKU, with cups that never spoil."""
    sku = Sku.objects.create(
        code=code, name=name, price_cents=price_cents, active=active, shelf_life_minutes=shelf_life_minutes
    )
    if available:
        restock(batch=code, quantity=available, reason=reason, by=by)
    return sku


@transaction.atomic
def add_batch(*, sku: str, spoils_at: datetime | None, quantity: int, reason: str, by: str) -> str:
    """Receive cups of a SKU that spoil at a time, or that may be recalled (``None``); return the key of the batch.

    Raises:
        StockRefused: there is no such SKU, or the quantity is not above 0.
    """
    if not _lock(sku):
        msg = f"There is no SKU {sku}."
        raise StockRefused(msg)
    # Under the lock, so that no other takes the number. Deleted batches leave gaps.
    numbers = [
        int(key.rpartition(SEPARATOR)[2])
        for key in Batch.objects.filter(sku=sku).exclude(key=sku).values_list("key", flat=True)
    ]
    key = f"{sku}{SEPARATOR}{max(numbers, default=0) + 1}"
    Batch.objects.create(key=key, sku_id=sku, spoils_at=spoils_at)
    restock(batch=key, quantity=quantity, reason=reason, by=by)
    return key


def restock(*, batch: str, quantity: int, reason: str, by: str) -> None:
    """Add cups to a batch.

    Raises:
        StockRefused: the quantity is not above 0, or the batch is unknown or recalled.
    """
    if quantity <= 0:
        msg = "The number of cups to add must be above 0."
        raise StockRefused(msg)
    _move(batch, MoveKind.RESTOCKED, available=quantity, reason=reason, by=by)


def adjust(*, batch: str, quantity: int, reason: str, by: str) -> None:
    """Correct what is available by a difference, because the count was wrong; below 0 takes cups away.

    Raises:
        StockRefused: fewer are available, or the batch is unknown or recalled.
    """
    _move(batch, MoveKind.ADJUSTED, available=quantity, reason=reason, by=by)


def write_off(*, batch: str, quantity: int, reason: str, by: str) -> None:
    """Throw available cups away. What runs hold or have bought is never written off.

    Raises:
        StockRefused: fewer are available, the quantity is not above 0, or the batch is unknown.
    """
    if quantity <= 0:
        msg = "The number of cups to write off must be above 0."
        raise StockRefused(msg)
    _move(batch, MoveKind.WRITTEN_OFF, available=-quantity, written_off=quantity, reason=reason, by=by)


@transaction.atomic
def allocate(
    *, sku: str, quantity: int, to: str, needed_until: datetime | None = None, reason: str, by: str
) -> dict[str, int]:
    """Take available cups out of the stock for something else, such as a campaign's quota.

    Args:
        sku: the code of the SKU.
        quantity: how many cups, above 0.
        to: what gets them, by which they are found when they come back, such as ``campaign 12``.
        needed_until: until when they must be good; ``None``: only cups that never spoil.
        reason: why, for the record.
        by: who, for the record.

    Returns:
        How many were taken of which batch.

    Raises:
        StockRefused: fewer are available.
    """
    if quantity <= 0:
        msg = "The number of cups to allocate must be above 0."
        raise StockRefused(msg)
    _lock(sku)
    until = None if needed_until is None else needed_until + stock.margin
    shares = stock.share(stock.read_good([sku]), {sku: quantity}, until)
    if isinstance(shares, Rejected):
        raise StockRefused(str(shares))
    for key, part in shares.items():
        _move(key, MoveKind.ALLOCATED, available=-part, reason=reason, by=by, allocated_to=to)
    return shares


@transaction.atomic
def take_back(*, sku: str, quantity: int, allocated_to: str, reason: str, by: str) -> dict[str, int]:
    """Return allocated cups to the batches from which they came, what spoils last first.

    Cups of a batch that is spoiled or recalled by then are written off.

    Returns:
        How many came back to which batch.

    Raises:
        StockRefused: fewer are allocated to it.
    """
    _lock(sku)
    out: Counter[str] = Counter()
    moves = Move.objects.filter(allocated_to=allocated_to, batch__in=Batch.objects.filter(sku=sku).values("key"))
    for key, available, lost in moves.values_list("batch").annotate(Sum("available"), Sum("written_off")).order_by():
        out[key] = -available - lost
    if quantity <= 0 or quantity > out.total():
        msg = f"{out.total()} cups of {sku} are allocated to {allocated_to}, and {quantity} are to come back."
        raise StockRefused(msg)
    batches = (
        Batch.objects.filter(key__in=out).annotate(now=Now()).order_by(F("spoils_at").desc(nulls_first=True), "key")
    )
    back: dict[str, int] = {}
    for batch in batches:
        part = min(quantity, out[batch.key])
        if part <= 0:
            continue
        quantity -= part
        back[batch.key] = part
        over = batch.recalled_at is not None or (batch.spoils_at is not None and batch.spoils_at <= batch.now)
        counts = {"written_off": part} if over else {"available": part}
        _move(batch.key, MoveKind.ALLOCATED, reason=reason, by=by, allocated_to=allocated_to, **counts)
    return back


@transaction.atomic
def recall(*, batch: str, reason: str, by: str) -> None:
    """Recall a batch: nothing more of it is held, and what is available is thrown away. A repeat writes off the rest.

    What runs hold or have bought is the next step's: ``inventory.recalls.relocate``.

    Raises:
        StockRefused: the batch is unknown, or is the SKU's own: then write it off.
    """
    row = _row(batch)
    if row.key == row.sku_id:
        raise StockRefused(OWN_BATCH)
    Batch.objects.filter(key=batch, recalled_at=None).update(recalled_at=Now())
    if row.recalled_at is None or row.available:
        _record(
            batch, MoveKind.RECALLED, {"available": -row.available, "written_off": row.available}, reason=reason, by=by
        )


@transaction.atomic
def _move(batch: str, kind: MoveKind, *, reason: str, by: str, allocated_to: str = "", **counts: int) -> None:
    row = _row(batch)
    if row.recalled_at is not None and counts.get("available", 0) > 0:
        msg = f"Batch {batch} is recalled."
        raise StockRefused(msg)
    if row.available + counts.get("available", 0) < 0:
        msg = f"Only {row.available} of {batch} are available."
        raise StockRefused(msg)
    _record(batch, kind, counts, reason=reason, by=by, allocated_to=allocated_to)


def _row(batch: str) -> Batch:
    """A batch, with the lock of its SKU."""
    sku = Batch.objects.filter(key=batch).values_list("sku_id", flat=True).first()
    if sku is None or not _lock(sku):
        msg = f"There is no batch {batch}."
        raise StockRefused(msg)
    return Batch.objects.select_for_update(no_key=True).get(key=batch)


def _record(
    batch: str, kind: MoveKind, counts: Mapping[str, int], *, reason: str, by: str, allocated_to: str = ""
) -> None:
    """Change a batch and write that into the ledger."""
    if not reason.strip() or not by.strip():
        msg = "Say why the stock changes, and who changes it."
        raise StockRefused(msg)
    Batch.objects.filter(key=batch).update(**{name: F(name) + quantity for name, quantity in counts.items()})
    Move.objects.create(batch=batch, kind=kind, reason=reason, by=by, allocated_to=allocated_to, **counts)


def _lock(sku: str) -> bool:
    """Lock a SKU's own batch, and with it all of its batches; return whether it is there."""
    return Batch.objects.select_for_update(no_key=True).filter(key=sku).first() is not None


def give_back(*, run_id: UUID, by_run: UUID, step: str, sku: str, quantity: int) -> None:
    """Put sold cups back into the batches that they came from, in the caller's transaction, which must do it once.

    Their holds end as if they had not been sold; a part of a hold becomes a hold of the run that gives it back. What
    comes back to a spoiled or recalled batch is written off. Nothing is given back to the stock of a run that holds
    nothing of it: it was pruned, or its cups are a campaign's.

    Args:
        run_id: the confirmed run that bought them.
        by_run: the run that gives them back.
        step: its step.
        sku: of which SKU.
        quantity: how many.
    """
    # The SKU's own batch first, as the participants do, and the holds behind it.
    if not _lock(sku):
        return
    # A recalled batch first: who refunds some cups of several batches refunds those.
    is_recalled = Exists(Batch.objects.filter(key=OuterRef("pool_key"), recalled_at__isnull=False))
    bought = SkuHold.objects.filter(run_id=run_id, state=HoldState.CONFIRMED).order_by(is_recalled.desc(), "-pk")
    for hold in bought.filter(Q(pool_key=sku) | Q(pool_key__startswith=f"{sku}{SEPARATOR}")):
        part = min(quantity, hold.quantity)
        quantity -= part
        if not part:
            return
        if part == hold.quantity:
            SkuHold.objects.filter(pk=hold.pk).update(state=HoldState.CANCELLED)
        else:
            SkuHold.objects.filter(pk=hold.pk).update(quantity=F("quantity") - part)
            SkuHold.objects.create(
                run_id=by_run,
                step=step,
                pool_key=hold.pool_key,
                quantity=part,
                state=HoldState.CANCELLED,
                held_at=hold.held_at,
                ended_at=hold.ended_at,
            )
        Batch.objects.filter(key=hold.pool_key).update(available=F("available") + part, sold=F("sold") - part)
        if Batch.objects.filter(Q(recalled_at__lte=Now()) | Q(spoils_at__lte=Now()), key=hold.pool_key).exists():
            counts = {"available": -part, "written_off": part}
            _record(hold.pool_key, MoveKind.WRITTEN_OFF, counts, reason="refunded, and not good any more", by="refund")
