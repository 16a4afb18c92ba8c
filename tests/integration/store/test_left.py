"""Runs that this process has left a moment ago are not read again, unless a transaction has changed them since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import store
from sagas.decisions.messages import Chain
from sagas.engine.performing import perform
from sagas.models import Run
from sagas.store.runs import Row
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import chains, claim_all
from tests.support.row_locks import await_lock_waits

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def chain(jar: str) -> Chain:
    """Three runs that were claimed just now."""
    for _ in range(3):
        sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    return chain


def left_by_the_first_step(chain: Chain) -> Mapping[UUID, Row]:
    return perform(chain.links[0], chain.ids, held=True).left


@contextmanager
def locked_again(ids: Any, left: Mapping[UUID, Row]) -> Iterator[tuple[list[Row], int]]:
    """The runs under their locks, and how many statements that took."""
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        rows = store.runs.lock(ids, left=left)
        yield rows, sum("sagas_run" in query["sql"] for query in asked.captured_queries)


def test_runs_are_known_as_they_were_left(chain: Chain) -> None:
    # When the first of the steps is done
    left = left_by_the_first_step(chain)
    # Then they are not read, and are what is read
    with locked_again(chain.ids, left) as (rows, statements):
        read = store.runs.lock(chain.ids)
    assert statements == 1
    assert [row.left_by != "" for row in rows] == [True] * 3
    assert [row._replace(left_by="", loaded=None) for row in rows] == read


def test_results_are_known_as_they_are_read(chain: Chain) -> None:
    # Given all steps until one with a result is done
    left = left_by_the_first_step(chain)
    for link in chain.links[1:-1]:
        left = perform(link, chain.ids, held=True, left=left).left
    with locked_again(chain.ids, left) as (rows, _):
        read = store.runs.lock(chain.ids)
    assert any(row.results != "{}" for row in read)
    assert [row._replace(left_by="", loaded=None) for row in rows] == read


def test_runs_that_go_on_by_a_message_are_not_kept(chain: Chain) -> None:
    assert perform(chain.links[0], chain.ids).left == {}


@pytest.mark.parametrize("which", [0, 2])
def test_all_are_read_again_where_one_was_changed(chain: Chain, which: int) -> None:
    left = left_by_the_first_step(chain)
    Run.objects.filter(pk=sorted(chain.ids)[which]).update(business_key="changed")
    with locked_again(chain.ids, left) as (rows, statements):
        assert [row.left_by for row in rows] == ["", "", ""]
        assert statements == 2


def test_a_run_that_is_gone_is_not_taken_for_one_that_is_there(chain: Chain) -> None:
    left = left_by_the_first_step(chain)
    ids = [*chain.ids, UUID(int=1)]
    with locked_again(ids, left) as (rows, _):
        assert [row.id for row in rows] == sorted(chain.ids)
    with locked_again(chain.ids, {**left, min(left): left[min(left)]._replace(left_by="1")}) as (rows, _):
        assert [row.left_by for row in rows] == ["", "", ""]


def test_a_change_that_the_lock_has_waited_for_is_seen(chain: Chain) -> None:
    left = left_by_the_first_step(chain)

    def lock() -> list[int]:
        try:
            with locked_again(chain.ids, left) as (rows, _):
                return [row.claims for row in rows]
        finally:
            connection.close()

    def change() -> None:
        try:
            with transaction.atomic():
                Run.objects.filter(pk=max(chain.ids)).update(claims=7)
                changed.set()
                assert seen.wait(timeout=30)
        finally:
            connection.close()

    changed, seen = Event(), Event()
    with ThreadPoolExecutor(2) as others:
        # Given a transaction that has changed one of them, and has not committed
        changing = others.submit(change)
        assert changed.wait(timeout=30)
        waiting = others.submit(lock)
        await_lock_waits()
        # When it commits
        seen.set()
        changing.result(timeout=30)
        # Then the runs are read after it
        assert waiting.result(timeout=30) == [1, 1, 7]
