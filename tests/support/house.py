"""Fixtures of the tests on the whole house: web, workers, servers. For the ``conftest.py`` of their folders."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import SharedWorkers
from tests.support import books
from tests.support.shop import Shop, open_shop
from tests.support.web import Caller, Web
from tests.support.workers import Worker


class Crew:
    """The workers of these tests. They go on to the next test if it wants the same ones."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        #: How the cohorts of orders travel.
        self.carrier = "orchestration"
        self._wanted: tuple[Any, ...] = ()

    def hire(
        self,
        *,
        confirm_within: float = 30.0,
        workers: int = 1,
        children: int = 2,
        double: float | None = None,
        queues: str | None = None,
        **sagas: Any,
    ) -> list[Worker]:
        """Have these workers run, and no other.

        Args:
            confirm_within: how long an order waits for its payment, in seconds.
            workers: main processes.
            children: of each.
            queues: what they consume; all by default.
            double: publish every message twice, the second copy this much later (seconds).
            sagas: keys of ``settings.SAGAS``, such as ``LEASE=1``.
        """
        if self.carrier != "orchestration":
            sagas = {"CARRIERS": {"orders.PlaceOrder": self.carrier}, **sagas}
        wanted = (confirm_within, workers, children, double, queues, json.dumps(sagas, sort_keys=True))
        if wanted == self._wanted and all(worker.process.poll() is None for worker in self.workers):
            return self.workers
        self.dismiss()
        environment = {"CONFIRM_WITHIN_SECONDS": str(confirm_within), "LAB_SAGAS": wanted[-1]}
        if double is not None:
            environment["LAB_DOUBLE"] = str(double)
        self._wanted = wanted
        self.workers += [Worker(concurrency=children, queues=queues, environment=environment) for _ in range(workers)]
        for worker in self.workers:
            worker.await_ready()
        return self.workers

    @contextmanager
    def on_break(self) -> Iterator[None]:
        """Nobody works inside this block; they stand still (SIGSTOP), and go on after it (SIGCONT)."""
        for worker in self.workers:
            os.killpg(worker.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in self.workers:
                os.killpg(worker.process.pid, signal.SIGCONT)

    def dismiss(self) -> None:
        """Nobody works after this."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        self._wanted = ()


@pytest.fixture(scope="package")
def _crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.dismiss()


@pytest.fixture(scope="package")
def web(django_db_setup: None) -> Iterator[Web]:
    """The web process, for a whole folder of tests."""
    process = Web().await_ready()
    yield process
    process.stop()


@pytest.fixture
def crew(_crew: Crew, database: None, shared_workers: SharedWorkers) -> Iterator[Crew]:
    """Workers of these tests' own; nobody else is at work."""
    shared_workers.stop()
    yield _crew
    if not books.all_ended():
        # What this test has left undone is not the next one's to find.
        _crew.dismiss()


@pytest.fixture
def shop(crew: Crew) -> Shop:
    """An empty shop with plenty of everything."""
    return open_shop(coupons=[f"C{n}" for n in range(400)])


@pytest.fixture
def customer(web: Web, shop: Shop) -> Caller:
    """The customer's phone."""
    return Caller(web, shop.token)
