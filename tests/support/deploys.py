"""Deploys of changed code: the sagas of this process are taken back and declared anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import new_class
from typing import Any

import sagas.engine.claiming
from sagas import Confirmation, Parallel, Retry, Saga, Step, store
from sagas.definition import registry
from tests.lab.sagas import QUICK, Experiment, mark

NAME = "lab.Changing"


def step(*, compensate: Any = mark, confirm: Any = None, retry: Retry = QUICK, database: str = "") -> Step:
    """A step that leaves marks."""
    return Step(
        mark, compensate=compensate, confirm=confirm, queue="orders", retry=retry, finish_retry=QUICK, database=database
    )


def deploy(
    body: Mapping[str, Step | Confirmation | Parallel],
    *,
    version: int = 1,
    beside: bool = False,
    requests: type[Any] = Experiment,
) -> type[Saga[Any]]:
    """Declare ``lab.Changing`` with these steps.

    Args:
        body: the steps and confirmations.
        version: of the saga.
        beside: keep the other versions that were declared before.
        requests: what its runs are asked for.
    """
    for known in [k for k in registry._definitions if k[0] == NAME and (not beside or k[1] == version)]:
        del registry._definitions[known]
    written = {**body, "name": NAME, "version": version, "__module__": __name__}
    saga: Any = Saga
    return new_class("Changing", (saga[requests],), exec_body=lambda namespace: namespace.update(written))


@contextmanager
def deploying() -> Iterator[None]:
    """What is declared inside this block is forgotten after it, as by a process that ends."""
    known = dict(registry._definitions)
    foreign = set(sagas.engine.claiming._foreign)
    try:
        yield
    finally:
        registry._definitions.clear()
        registry._definitions.update(known)
        store.definitions._followed.clear()
        store.definitions._recorded.difference_update([key for key in store.definitions._recorded if key[0] == NAME])
        sagas.engine.claiming._foreign.clear()
        sagas.engine.claiming._foreign.update(foreign)
