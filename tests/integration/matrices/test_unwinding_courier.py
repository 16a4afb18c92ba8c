"""Orders that are picked up or brought end wholly confirmed or wholly undone, at the courier's too: a real process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker, Settings

from delivery.models import FulfilmentKind
from orders.fulfilment.sagas import PlaceStoreOrder
from sagas.testing import Ended
from sagas.testing.matrix.cases import Case
from tests.integration.matrices.test_unwinding import RECORDS
from tests.support.courier import Courier
from tests.support.unwinding import an_order_has_all_or_nothing, place, unwinds, wipe

pytestmark = pytest.mark.usefixtures("empty", "reached")


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courier]:
    found = Courier(tmp_path_factory.mktemp("courier")).start()
    _courier[:] = [found]
    yield found
    found.stop()


@pytest.fixture
def reached(service: Courier, settings: Settings) -> None:
    settings.COURIER_URL = service.url


#: Where the matrix finds the service: it is declared before there is one.
_courier: list[Courier] = []


def slow(_case: Case) -> list[Any]:
    return [pytest.mark.slow]


def brought_or_not(ended: Ended) -> None:
    """The invariant: a courier comes if the order is confirmed; else none does, and none is held."""
    an_order_has_all_or_nothing(ended)
    state = _courier[0].state(ended.run_id)
    assert state == "CONFIRMED" if ended.succeeded else state in {"", "CANCELLED"}


test_pick_up = unwinds(
    PlaceStoreOrder,
    partial(place, FulfilmentKind.PICK_UP),
    invariant=an_order_has_all_or_nothing,
    leaves=RECORDS,
    skips=["book_courier"],
    # The run that returns it is not this one, and may have begun.
    ignore=["payments_payment.state"],
    mark=slow,
)
test_by_courier = unwinds(
    PlaceStoreOrder, partial(place, FulfilmentKind.COURIER), invariant=brought_or_not, leaves=RECORDS, mark=slow
)
