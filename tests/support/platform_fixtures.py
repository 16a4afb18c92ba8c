"""Fixtures for tests of the whole platform: web process, workers and servers. Imported by ``conftest.py`` files."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import SharedWorkers
from tests.support import shop_invariants
from tests.support.shop import Shop, open_shop
from tests.support.web import Caller, Web
from tests.support.workers import Worker


class WorkerGroup:
    """The workers of these tests. The next test keeps them if it needs the same ones."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        #: How the cohorts of orders travel.
        self.carrier = "orchestration"
        self._wanted: tuple[Any, ...] = ()

    def start(
        self,
        *,
        confirm_within: float = 30.0,
        workers: int = 1,
        children: int = 2,
        double: float | None = None,
        queues: Sequence[str | None] = (None,),
        **sagas: Any,
    ) -> list[Worker]:
        """Run these workers, and no others.

        Args:
            confirm_within: how long an order waits for its payment, in seconds.
            workers: main processes of a group.
            children: of each.
            queues: the queues that the workers of a group consume, for each group; one group consumes all by default.
            double: publish every message twice, the second copy this much later (seconds).
            sagas: keys of ``settings.SAGAS``, such as ``LEASE=1``.
        """
        if self.carrier != "orchestration":
            sagas = {"CARRIERS": {"orders.PlaceOrder": self.carrier}, **sagas}
        wanted = (confirm_within, workers, children, double, tuple(queues), json.dumps(sagas, sort_keys=True))
        if wanted == self._wanted and all(worker.process.poll() is None for worker in self.workers):
            return self.workers
        self.stop_all()
        environment = {"CONFIRM_WITHIN_SECONDS": str(confirm_within), "LAB_SAGAS": wanted[-1]}
        if double is not None:
            environment["LAB_DOUBLE"] = str(double)
        self._wanted = wanted
        self.workers += [
            Worker(concurrency=children, queues=each, environment=environment)
            for each in queues
            for _ in range(workers)
        ]
        for worker in self.workers:
            worker.await_ready()
        return self.workers

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend the workers inside the block (SIGSTOP), and let them go on after it (SIGCONT)."""
        for worker in self.workers:
            worker.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in self.workers:
                worker.send(signal.SIGCONT)

    def stop_all(self) -> None:
        """Stop all workers."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        self._wanted = ()


@pytest.fixture(scope="package")
def _worker_group() -> Iterator[WorkerGroup]:
    worker_group = WorkerGroup()
    yield worker_group
    worker_group.stop_all()


@pytest.fixture(scope="package")
def web(django_db_setup: None) -> Iterator[Web]:
    """The web process, shared by the tests of a folder."""
    process = Web().await_ready()
    yield process
    process.stop()


@pytest.fixture
def worker_group(_worker_group: WorkerGroup, database: None, shared_workers: SharedWorkers) -> Iterator[WorkerGroup]:
    """Workers for these tests only; the shared workers are stopped."""
    shared_workers.stop()
    yield _worker_group
    if not shop_invariants.all_ended():
        # The next test must not find runs that this test has left.
        _worker_group.stop_all()


@pytest.fixture
def shop(worker_group: WorkerGroup) -> Shop:
    """An empty shop with plenty of everything."""
    return open_shop(coupons=[f"C{n}" for n in range(400)])


@pytest.fixture
def customer(web: Web, shop: Shop) -> Caller:
    """A customer who calls the API."""
    return Caller(web, shop.token)
