"""The sagas with a part in another system end wholly confirmed or wholly undone, there too: a real Node.js process."""

from __future__ import annotations

from uuid import uuid4

import pytest
from pytest_django import DjangoDbBlocker

from sagas.models import Run
from sagas.testing import Ended
from tests.lab.sagas import Awaited, Experiment, Promised, Rewarded
from tests.support.points import TOKEN, Points, needs_node
from tests.support.unwinding import marks_and_jars_agree, unwinds, wipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty", "reached"), needs_node]

#: Where the matrices find the points: they are declared before there are any.
_points: list[Points] = []


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()


@pytest.fixture
def reached(node: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setenv("LAB_POINTS_TOKEN", TOKEN)
    _points[:] = [node]


def of_an_account() -> Experiment:
    """Of an account of its own, with 100 points."""
    account = f"account-{uuid4().hex[:8]}"
    _points[0].open(account, 100)
    return Experiment(jar=account, quantity=10)


def the_account_agrees(ended: Ended) -> None:
    """The invariant: ten points are gone, or none; and none is held."""
    marks_and_jars_agree(ended)
    account = Run.objects.values_list("request__jar", flat=True).get(pk=ended.run_id)
    assert _points[0].account(account) == (90 if ended.succeeded else 100, 0)


test_promised = unwinds(Promised, of_an_account, invariant=the_account_agrees)
test_rewarded = unwinds(Rewarded, of_an_account, invariant=the_account_agrees)
test_awaited = unwinds(Awaited, of_an_account, invariant=the_account_agrees)
