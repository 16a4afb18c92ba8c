"""What is counted is added up in the database by all processes at once, and never falls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event

import pytest
from django.db import connection

from sagas import runtime, store
from sagas.metrics import ANY, Counter, Histogram
from sagas.metrics.sums import Cell, Key
from sagas.models import Measurement
from tests.support.metrics import stored

pytestmark = pytest.mark.usefixtures("alone")

ORDERS, WAITS = Key("shop_total", ("a",)), Key("shop_seconds", ())


@pytest.fixture(autouse=True)
def _declared(alone: None) -> Iterator[None]:
    with runtime.apart():
        Counter("shop_total", "…", labels={"saga": ANY})
        Histogram("shop_seconds", "…", buckets=(1, 10))
        yield
    Measurement.objects.all().delete()


def add(cells: dict[Key, Cell], *, shard: int = 0) -> None:
    store.measurements.add(cells, runtime.declared.instruments, shard=shard)


def let_pass(minutes: int, *, shard: int | None = None) -> None:
    """Have what was written just now, in one shard or all, be so many minutes old."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_measurement SET minute = minute - %s * interval '1 minute' "
            "WHERE minute > now() - interval '2 minutes' AND shard = COALESCE(%s, shard)",
            [minutes, shard],
        )


def totals() -> dict[str, Cell]:
    return {total.name: total.cell for total in store.measurements.totals()}


def test_what_all_processes_have_counted_is_one_number() -> None:
    for shard in (0, 1, 1):
        add({ORDERS: Cell(2), WAITS: Cell(11.5, [1, 0, 2])}, shard=shard)
    assert totals() == {"shop_total": Cell(6), "shop_seconds": Cell(34.5, [3, 0, 6])}


def test_what_is_folded_is_one_row_and_the_same_number() -> None:
    for _ in range(3):
        for shard in (0, 1):
            add({ORDERS: Cell(2), WAITS: Cell(0.1, [1, 0, 0])}, shard=shard)
        let_pass(3)
        before = totals()
        assert store.measurements.fold() == 4
        assert totals() == before
        assert Measurement.objects.count() == 2
    assert totals()["shop_seconds"] == Cell(0.6, [6, 0, 0])


def test_the_last_minutes_are_not_folded() -> None:
    add({ORDERS: Cell(1)})
    assert store.measurements.fold() == 0


def test_a_minute_that_lies_ahead_because_a_clock_was_set_back_counts_as_any() -> None:
    add({ORDERS: Cell(5)})
    let_pass(-600)
    add({ORDERS: Cell(1)})
    assert store.measurements.fold() == 0
    assert totals()["shop_total"] == Cell(6)


def test_no_counter_falls_while_processes_write_and_fold() -> None:
    # Given processes that write into minutes of which half are old already, and two that fold
    stop = Event()

    def write(shard: int) -> None:
        for number in range(25):
            add({ORDERS: Cell(1), WAITS: Cell(0.3, [0, 1, 0])}, shard=shard)
            if number % 2:
                let_pass(10 * number, shard=shard)
        connection.close()

    def fold() -> None:
        while not stop.is_set():
            store.measurements.fold()
        connection.close()

    def read() -> list[tuple[float, float, int]]:
        seen = []
        while not stop.is_set():
            now = totals()
            waits = now.get("shop_seconds", Cell(0, [0, 0, 0]))
            seen.append((now.get("shop_total", Cell(0)).value, waits.value, sum(waits.buckets)))
        connection.close()
        return seen

    # When somebody reads all the time
    with ThreadPoolExecutor(6) as pool:
        reader, folders = pool.submit(read), [pool.submit(fold) for _ in range(2)]
        for writer in [pool.submit(write, shard) for shard in range(3)]:
            writer.result()
        stop.set()
        for folder in folders:
            folder.result()
        seen = reader.result()

    # Then no number is less than it was, and none is lost or counted twice
    assert len(seen) > 1
    for earlier, later in pairwise(seen):
        assert all(before <= after for before, after in zip(earlier, later, strict=True))
    assert totals() == {"shop_total": Cell(75), "shop_seconds": Cell(22.5, [0, 75, 0])}


def test_buckets_of_an_earlier_version_are_apart() -> None:
    add({WAITS: Cell(3, [0, 1, 0])})
    with runtime.apart():
        del runtime.declared.instruments["shop_seconds"]
        Histogram("shop_seconds", "…", buckets=(1, 10, 100))
        add({WAITS: Cell(30, [0, 0, 1, 0])})
    assert sorted(total.cell.buckets for total in store.measurements.totals()) == [[0, 0, 1, 0], [0, 1, 0]]


def test_what_nobody_has_declared_is_not_written() -> None:
    add({Key("unknown_total", ()): Cell(1)})
    assert stored() == {}
