"""The place where the tests of this folder simulate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from pytest_django import DjangoDbBlocker

from tests.conftest import SharedWorkers

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

#: It rewrites the statements of psycopg2's cursors, to put its clock in front of them.
collect_ignore_glob = ["test_*.py"] if is_psycopg3 else []


@pytest.fixture(scope="module")
def bench(loyalty_database: None, shared_workers: SharedWorkers, django_db_blocker: DjangoDbBlocker) -> Iterator[Bench]:
    """A bench in copies of the test databases. Nobody else may use those while they are copied."""
    # Not before a test asks for it: the simulator's sagas are not to be met by the other tests of this process.
    from tests.simulator import databases
    from tests.simulator.bench import Bench

    shared_workers.stop()
    with django_db_blocker.unblock(), databases.copied(0), Bench.open() as opened:
        yield opened
