"""The ticker hands a kick that comes alone over at once, also right behind a tick."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sagas.messaging import ticker as ticker_module
from sagas.messaging.ticker import Ticker


class Worker:
    """A worker's main process without servers: a ticker, the kicks that it gets, and what it asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handed_over = 0
        self.published: list[bool] = []
        self.is_child_free = True
        self._kicks = 0
        app: Any = SimpleNamespace()
        self.ticker = Ticker(app)
        kicks = SimpleNamespace(wait=self._wait, try_reserve_dispatch=lambda: "mine")
        monkeypatch.setattr(ticker_module, "kicks", kicks)
        monkeypatch.setattr(ticker_module, "hand_over", self._hand_over)
        monkeypatch.setattr(ticker_module, "ask_for_dispatch", lambda _, *, tick: self.published.append(tick))

    def tick(self) -> None:
        self.ticker._ticks.hasten()
        self.ticker.beat()

    def kick(self) -> None:
        """A kick comes, and no other."""
        self._kicks = 1
        self.ticker.stopping.clear()
        self.ticker._listen()
        self.ticker.stopping.clear()

    def _wait(self, _: float) -> bool:
        if not self._kicks:
            self.ticker.stopping.set()
            return False
        self._kicks -= 1
        return True

    def _hand_over(self) -> bool:
        self.handed_over += self.is_child_free
        return self.is_child_free


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def test_a_kick_right_behind_a_tick_is_handed_over_at_once(worker: Worker) -> None:
    worker.tick()
    worker.kick()
    assert worker.handed_over == 1
    assert not worker.ticker.kicked.is_set()


def test_a_kick_right_behind_another_is_gathered(worker: Worker) -> None:
    worker.kick()
    worker.kick()
    assert worker.handed_over == 1
    assert worker.ticker.kicked.is_set()


def test_a_kick_right_behind_one_that_went_out_with_a_tick_is_gathered(worker: Worker) -> None:
    # Given a kick that comes as a tick is due
    worker.ticker.kicked.set()
    worker.tick()
    # When another comes
    worker.kick()
    # Then the tick was for both
    assert worker.published == [True]
    assert worker.ticker.kicked.is_set()


def test_a_kick_that_no_child_takes_goes_out_by_rabbitmq(worker: Worker) -> None:
    worker.is_child_free = False
    worker.kick()
    assert worker.ticker.kicked.is_set()
    worker.ticker.beat()
    assert worker.published == [False]


def test_a_tick_waits_for_no_kick(worker: Worker) -> None:
    worker.ticker._ticks.hasten()
    worker.kick()
    assert worker.handed_over == 0
    worker.ticker.beat()
    assert worker.published == [True]
