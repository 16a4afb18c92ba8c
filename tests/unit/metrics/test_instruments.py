"""Instruments: names and labels that are refused, labels that are bounded, and sums that never lose a number."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from sagas import runtime
from sagas.errors import DefinitionError
from sagas.metrics import ANY, Counter, Histogram, on_scrape
from sagas.metrics.instruments import MOST_SERIES, OTHER, count_now
from sagas.metrics.sums import Cell, Key, Sums
from tests.support.metrics import counted, counting


@pytest.fixture(autouse=True)
def _apart(settings: Settings) -> Iterator[None]:
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    with runtime.apart():
        yield


@pytest.fixture
def sums() -> Iterator[Sums]:
    with counting() as own:
        yield own


@pytest.mark.parametrize("name", ["Shop_total", "shop-total", "9_total", "", "a" * 81 + "_total", "shop"])
def test_a_name_that_is_none_of_a_counter_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError):
        Counter(name, "…")


def test_a_histogram_or_gauge_is_not_named_as_a_counter() -> None:
    with pytest.raises(DefinitionError, match="_total"):
        Histogram("shop_seconds_total", "…")
    with pytest.raises(DefinitionError, match="_total"):
        on_scrape("shop_total", "…")(dict)


@pytest.mark.parametrize("label", ["run", "worker", "customer", "Saga"])
def test_there_are_no_labels_but_five(label: str) -> None:
    with pytest.raises(DefinitionError, match="no label"):
        Counter("shop_total", "…", labels={label: ANY})


def test_a_name_belongs_to_one_metric() -> None:
    Counter("shop_total", "…")
    with pytest.raises(DefinitionError, match="another metric"):
        Counter("shop_total", "…", labels={"outcome": ("kept",)})


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1)])
def test_buckets_ascend(buckets: tuple[float, ...]) -> None:
    with pytest.raises(DefinitionError, match="ascending"):
        Histogram("shop_seconds", "…", buckets=buckets)


def test_a_value_that_was_not_declared_is_counted_as_other(sums: Sums) -> None:
    orders = Counter("shop_total", "…", labels={"outcome": ("kept", "undone")})
    count_now([(orders, 2, {"outcome": "kept"}), (orders, 1, {"outcome": "'; DROP"}), (orders, 4, {})])
    assert counted(sums) == {"shop_total": {("kept",): 2, (OTHER,): 5}}


def test_labels_that_explode_are_bounded(sums: Sums) -> None:
    # Given a label that the code bounds, and code that does not
    orders = Counter("shop_total", "…", labels={"saga": ANY})
    # When
    count_now([(orders, 1, {"saga": f"shop.Saga{number}"}) for number in range(3 * MOST_SERIES)])
    # Then a third has series of its own, the rest is one, and nothing more is remembered
    found = counted(sums)["shop_total"]
    assert len(found) == MOST_SERIES + 1
    assert found[OTHER,] == 2 * MOST_SERIES
    assert len(sums.admitted) == MOST_SERIES


@pytest.mark.parametrize("value", ["x" * 101, "a\nb", "a\x00b"])
def test_a_value_that_no_code_would_have_is_other(sums: Sums, value: str) -> None:
    orders = Counter("shop_total", "…", labels={"saga": ANY})
    count_now([(orders, 1, {"saga": value})])
    assert counted(sums) == {"shop_total": {(OTHER,): 1}}


def test_a_clock_that_was_set_back_measures_nothing_negative(sums: Sums) -> None:
    waits = Histogram("shop_seconds", "…", buckets=(1, 10))
    count_now([(waits, (-3600.0, 0.5, 10.0, 11.0, float("nan")), {})])
    assert sums.take() == {Key("shop_seconds", ()): Cell(21.5, [2, 1, 1])}


def test_nothing_is_counted_while_metrics_are_off(sums: Sums, settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "METRICS": False}
    orders = Counter("shop_total", "…")
    orders.add()
    count_now([(orders, 1, {})])
    assert sums.take() == {}


def test_what_could_not_be_written_is_added_to_what_came_since(sums: Sums) -> None:
    key, waits = Key("shop_total", ()), Key("shop_seconds", ())
    sums.add(key, 2)
    sums.observe(waits, (1,), (0.5, 3))
    taken = sums.take()
    sums.add(key, 1)
    sums.observe(waits, (1,), (4,))
    sums.give_back(taken)
    assert sums.take() == {key: Cell(3), waits: Cell(7.5, [1, 2])}


def test_threads_that_count_at_the_same_time_lose_nothing(sums: Sums) -> None:
    key = Key("shop_total", ())
    taken: list[float] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.extend(cell.value for cell in sums.take().values())

    def count() -> None:
        for _ in range(5000):
            sums.add(key, 1)

    taker = threading.Thread(target=take)
    adders = [threading.Thread(target=count) for _ in range(4)]
    for thread in (taker, *adders):
        thread.start()
    for thread in adders:
        thread.join()
    done.set()
    taker.join()
    assert sum(taken) + sum(cell.value for cell in sums.take().values()) == 20_000
