"""Deploys of changed code: the sagas of this process are taken back and declared anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import new_class
from typing import Any

from sagas import Confirmation, Parallel, Retry, Saga, Step, runtime
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
    for known in [k for k in runtime.declared.definitions if k[0] == NAME and (not beside or k[1] == version)]:
        del runtime.declared.definitions[known]
    written = {**body, "name": NAME, "version": version, "__module__": __name__}
    saga: Any = Saga
    return new_class("Changing", (saga[requests],), exec_body=lambda namespace: namespace.update(written))


@contextmanager
def deploying() -> Iterator[None]:
    """What is declared inside this block is forgotten after it, as by a process that ends."""
    with runtime.apart():
        yield
