"""A saga whose request and results are as large as a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sagas import Call, Confirmation, Done, Outcome, Retry, Saga, Step, set_based
from tests.lab.models import Mark


@dataclass(frozen=True)
class Luggage:
    """What is carried.

    Attributes:
        text: as long as it likes.
        results: by step, how many characters it returns.
    """

    text: str = ""
    results: dict[str, int] = field(default_factory=dict)


def pack(call: Call[Luggage]) -> str:
    """One call: leave a mark, and return a text."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return "x" * call.request.results.get(call.step, 0)


@set_based
def pack_all(calls: Sequence[Call[Luggage]]) -> list[Outcome]:
    """Set-based: the same for a whole cohort."""
    Mark.objects.bulk_create(Mark(run_id=c.run_id, step=c.step, operation=c.operation) for c in calls)
    return [Done("x" * call.request.results.get(call.step, 0)) for call in calls]


def read(call: Call[Luggage]) -> dict[str, int]:
    """What the steps before have returned, measured."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return {step: len(text) for step, text in call.results.items()}


QUICK = Retry(attempts=2, delay=timedelta(milliseconds=20), jitter=0)


class Carry(Saga[Luggage]):
    """One-call, set-based, and a step that reads what both have returned."""

    name = "lab.Carry"

    receipt = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(pack, compensate=pack, queue="orders", retry=QUICK)
    two = Step(pack_all, compensate=pack_all, queue="coupons", retry=QUICK)
    three = Step(read, compensate=read, queue="delivery", retry=QUICK)
