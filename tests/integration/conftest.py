"""Fixtures of the tests on real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoDbBlocker

from sagas.messaging import relay
from tests.conftest import SharedWorkers
from tests.lab.models import Jar
from tests.loyalty.models import Purse
from tests.loyalty.sagas import INTERRUPTIONS
from tests.support import loyalty
from tests.support.leftovers import forget_runs
from tests.support.points import TOKEN, Points
from tests.support.runs import assert_jar_adds_up, new_jar
from tests.support.workers import Worker


@pytest.fixture(scope="module")
def _forgotten(topology: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What the last test of a module that was alone has left is not the next module's to find."""
    yield
    with django_db_blocker.unblock():
        forget_runs()


@pytest.fixture(scope="module")
def nothing_due(topology: None, shared_workers: SharedWorkers, django_db_blocker: DjangoDbBlocker) -> None:
    """What other modules have left unfinished is not performed beside this module's runs."""
    shared_workers.stop()
    with django_db_blocker.unblock():
        forget_runs()


@pytest.fixture
def alone(_forgotten: None, database: None, shared_workers: SharedWorkers) -> None:
    """Nobody else: no worker, no runs, no messages. The test moves everything itself."""
    # An earlier test may have stopped RabbitMQ, or closed all its connections.
    relay.close()
    shared_workers.stop()
    forget_runs()


@pytest.fixture
def jar(request: pytest.FixtureRequest, database: None) -> Iterator[str]:
    """A jar of 1000 pieces, or of so many as the module's ``JAR`` says, of which in the end none has got lost."""
    pieces = getattr(request.module, "JAR", 1000)
    name = new_jar(pieces)
    yield name
    assert_jar_adds_up(name, pieces)


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Points]:
    """The loyalty points as a process for a whole module, which asks for its ``TOKEN`` if the module has one."""
    found = Points(tmp_path_factory.mktemp("points"), token=getattr(request.module, "TOKEN", TOKEN))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def points(node: Points) -> Iterator[Points]:
    """The same, mended when the test is over."""
    yield node
    node.recover()


@pytest.fixture
def account(request: pytest.FixtureRequest, points: Points) -> str:
    """An account of 100 points, or of so many as the module's ``ACCOUNT`` says."""
    name = f"account-{uuid4().hex[:8]}"
    points.open(name, getattr(request.module, "ACCOUNT", 100))
    return name


Start = Callable[..., Worker]


@pytest.fixture
def start_worker(alone: None) -> Iterator[Start]:
    """Start workers with settings of their own: ``start_worker(LEASE=1)``. They end with the test."""
    workers: list[Worker] = []

    def start(
        *,
        concurrency: int = 1,
        pool: str = "prefork",
        queues: str | None = None,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Worker:
        variables = {"LAB_SAGAS": json.dumps(settings), **(environment or {})}
        worker = Worker(concurrency=concurrency, pool=pool, queues=queues, environment=variables)
        workers.append(worker)
        return worker.await_ready()

    yield start
    for worker in workers:
        worker.stop()


@pytest.fixture(scope="module")
def own_worker(
    request: pytest.FixtureRequest,
    _forgotten: None,
    shared_workers: SharedWorkers,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Worker]:
    """A worker for all tests of a module, as its ``WORKER`` says: arguments of ``Worker``, and keys of ``SAGAS``."""
    shared_workers.stop()
    with django_db_blocker.unblock():
        forget_runs()
    wanted: dict[str, Any] = dict(request.module.WORKER)
    environment = {
        **wanted.pop("environment", {}),
        "LAB_SAGAS": json.dumps({k: wanted[k] for k in wanted if k.isupper()}),
    }
    worker = Worker(environment=environment, **{k: wanted[k] for k in wanted if k.islower()})
    yield worker.await_ready()
    worker.stop()


@pytest.fixture
def purse(alone: None, loyalty_database: None) -> Iterator[str]:
    """A purse in the second database, which has nothing else, and a jar of that name in the engine's."""
    loyalty.wipe()
    name = f"purse-{uuid4().hex[:8]}"
    Purse.objects.create(name=name, available=1000)
    Jar.objects.create(name=name, available=1000)
    yield name
    INTERRUPTIONS.clear()
    loyalty.assert_purse_adds_up(name, 1000)
    assert_jar_adds_up(name, 1000)
    loyalty.wipe()
