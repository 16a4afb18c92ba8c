"""Fixtures for all tests. The servers start with the settings (``tests/settings.py``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import hypothesis
import pytest
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from tests.support import browser, pooler, servers
from tests.support.statements import asserting
from tests.support.workers import Worker


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    servers.destroy()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what drives a browser where there is none."""
    for item in items:
        if item.get_closest_marker("browser"):
            # Playwright's transport is closed by its own process, after the interpreter has looked.
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            if browser.PROGRAM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium: scripts/bootstrap --browser installs it"))


# How long an example takes, or the drawing of it, says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "drinkgroup", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("drinkgroup")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """A report goes from process to process as UTF-8: what a test has logged may have half a character in it."""
    data: dict[str, Any] | None = _encodable((yield))
    return data


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_encodable(item) for item in value)
    return value


@pytest.fixture
def django_assert_num_queries() -> Callable[[int], AbstractContextManager[object]]:
    """The plugin's own counts what a session prepares."""
    return lambda number: asserting(lambda sent: sent == number, f"{number}")


@pytest.fixture
def django_assert_max_num_queries() -> Callable[[int], AbstractContextManager[object]]:
    """The plugin's own counts what a session prepares."""
    return lambda most: asserting(lambda sent: sent <= most, f"at most {most}")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Make the test database. The plugin's own makes it only for tests that roll back or flush."""
    from sagas import store
    from tests.lab.sagas import Lab

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default": None})
        # As the first start of a process does. In tests that roll back none would be the first.
        store.definitions.record(Lab.definition)
    yield
    with django_db_blocker.unblock():
        # Workers that a failed test left behind may still be connected.
        connection.close()
        if servers.POOLED:
            pooler.release(servers.TEST_DATABASE)
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def _claims_look_from_the_start() -> None:
    """Have no claim of this process look only at what is due late, because this machine was slow for a moment.

    Tests move due times of runs into the past by hand, and expect that the next claim finds them. Workers are as they
    are, and so are the tests of this floor.
    """
    from sagas.store import claims

    claims._SLOW = math.inf


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The real database: commits last, because workers must see them. Tests use data of their own."""
    from tests.support import leftovers

    leftovers.committed.anything = True
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def loyalty_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Make the second database, for the tests whose steps are in it. The others shall not wait for it."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"loyalty": None})
    yield
    with django_db_blocker.unblock():
        connections["loyalty"].close()
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def topology(django_db_setup: None) -> Iterator[None]:
    """RabbitMQ's queues, declared, where there is one."""
    if servers.EMBEDDED:
        yield
        return
    from sagas.messaging.app import app
    from sagas.messaging.topology import declare
    from tests.support import broker

    with app.connection_for_write() as connection:
        declare(connection)
    yield
    broker.close()


class SharedWorkers:
    """One worker for all tests that leave workers alone; stopped for those that want the engine for themselves."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def alive(self) -> bool:
        """Whether it runs."""
        return self._worker is not None and self._worker.process.poll() is None

    def running(self) -> Worker:
        """The worker, started unless it runs."""
        if self._worker is None or not self.alive():
            self._worker = Worker(concurrency=2).await_ready()
        return self._worker

    def stop(self) -> None:
        """No worker runs after this."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


@pytest.fixture(scope="session")
def shared_workers(topology: None) -> Iterator[SharedWorkers]:
    """Whoever shares a worker shares this one."""
    workers = SharedWorkers()
    yield workers
    workers.stop()


@pytest.fixture
def shared_worker(shared_workers: SharedWorkers) -> Worker:
    """The shared worker, for the tests that leave workers alone."""
    return shared_workers.running()


@pytest.fixture
def no_worker(shared_workers: SharedWorkers) -> None:
    """No worker moves the test's runs."""
    shared_workers.stop()
