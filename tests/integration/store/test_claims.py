"""A claim finds a few due runs by a prepared statement, and many by one that is planned for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import runtime, store
from sagas.postgresql import prepared
from tests.lab.sagas import Experiment, Lab

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _prepares(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connection.close()
    runtime.reset()
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**connection.settings_dict["OPTIONS"], "prepares": True})
    yield
    connection.close()
    runtime.reset()


def claim(limit: int) -> tuple[list[store.runs.Row], list[str]]:
    """The runs that a claim locks, and the first words of what it sends."""
    with transaction.atomic(), CaptureQueriesContext(connection) as context:
        found = store.claims.lock_due(limit, lapsed=False, begin=True)
    return found, [query["sql"].split()[0] for query in context.captured_queries]


@pytest.mark.parametrize("due", [0, 1, prepared.FEW - 1])
def test_a_few_cost_one_prepared_statement(due: int) -> None:
    ids = [sagas.start(Lab, Experiment()) for _ in range(due)]
    assert [row.id for row in claim(100)[0]] == ids
    found, sent = claim(100)
    assert [row.id for row in found] == ids
    assert sent == ["EXECUTE"]


@pytest.mark.parametrize("due", [prepared.FEW, prepared.FEW + 4])
def test_many_are_all_found(due: int) -> None:
    ids = [sagas.start(Lab, Experiment()) for _ in range(due)]
    found, sent = claim(100)
    assert [row.id for row in found] == ids
    assert sent[-1] == "SELECT"
    # And no more than are asked for
    assert [row.id for row in claim(prepared.FEW + 1)[0]] == ids[: prepared.FEW + 1]
    assert [row.id for row in claim(2)[0]] == ids[:2]
