"""Sagas that differ from an order in one thing: their number of steps, or the size of their request."""

from __future__ import annotations

from dataclasses import dataclass
from types import new_class

import inventory.participants as inventory
from orders.requests import Item
from sagas import Saga, Tcc

#: Numbers of steps that are measured.
STEPS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Goods:
    """One item, which each step reserves anew, and a note that nobody reads."""

    items: tuple[Item, ...]
    note: str = ""


def _saga(steps: int) -> type[Saga[Goods]]:
    reserve = {
        f"take_{number}": Tcc(inventory.stock, rejects=(inventory.OutOfStock,), queue="inventory")
        for number in range(1, steps + 1)
    }
    body = {"__module__": __name__, **reserve}
    return new_class(f"Reserve{steps}", (Saga[Goods],), exec_body=lambda namespace: namespace.update(body))


#: By their number of steps.
SAGAS = {steps: _saga(steps) for steps in STEPS}
