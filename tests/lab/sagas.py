"""Sagas that do what their request says: reject, break, poison, or do it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from django.db.models import Model

from sagas import (
    Accepted,
    Call,
    Confirmation,
    Done,
    Events,
    Lock,
    Outcome,
    Parallel,
    Rejected,
    Retry,
    Saga,
    Step,
    SubSaga,
    Tcc,
    locking,
    no_lock_keys,
    set_based,
)
from sagas.definition.participants import NotYet
from sagas.errors import NotSent
from sagas.pool import PoolResource
from sagas.remote import AsyncParticipant, HttpParticipant
from sagas.remote.circuit import Circuit
from tests.lab import large_data, personal_data  # noqa: F401 - their sagas are of this app
from tests.lab.models import Jar, JarHold, Label, Mark


@dataclass(frozen=True)
class Experiment:
    """What shall happen.

    Attributes:
        jar: from which the TCC step takes.
        quantity: how much.
        reject: names of the steps that say no.
        faults: by ``step.operation``, how many attempts fail; a large number never succeeds.
        kills: ``step.operation`` that kill the process in which they are performed.
        closes_at: until when it may be approved.
        keys: the business keys that it locks, two at most.
        until: the path of a file: the steps that ask ``judge`` wait until it exists.
        group: by which it is decided together with others.
        skip: names of the steps that a saga with conditions leaves out.
    """

    jar: str = ""
    quantity: int = 1
    reject: tuple[str, ...] = ()
    faults: dict[str, int] = field(default_factory=dict)
    kills: tuple[str, ...] = ()
    closes_at: datetime = datetime(2100, 1, 1, tzinfo=UTC)
    keys: tuple[str, ...] = ()
    until: str = ""
    group: str = ""
    skip: tuple[str, ...] = ()


class Boom(Exception):
    """A fault on demand."""


def judge(call: Call[Experiment]) -> None:
    while call.request.until and not Path(call.request.until).exists():
        time.sleep(0.02)
    if f"{call.step}.{call.operation}" in call.request.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    if call.step in call.request.reject and call.operation in {"forward", "try"}:
        raise Rejected(f"{call.step} says no")
    if call.request.faults.get(f"{call.step}.{call.operation}", 0) >= call.attempt:
        raise Boom(f"{call.step}.{call.operation} attempt {call.attempt}")


class Given(dict[str, str]):
    """A result as a participant gives it. What later steps get is what is stored: an ordinary dict."""


@locking(no_lock_keys)
def mark(call: Call[Experiment]) -> dict[str, str]:
    """One call: leave a mark, then fail if asked to, so that a rollback must take the mark back."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    judge(call)
    return Given(by=call.step)


@locking(no_lock_keys)
@set_based
def mark_all(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Set-based: the same for a whole cohort; one that breaks breaks the set."""
    return leave_all(Mark, calls, judge)


def leave_all(
    model: type[Model], calls: Sequence[Call[Experiment]], judged: Callable[[Call[Experiment]], None]
) -> list[Outcome]:
    """Leave a row of this model for every call that is not rejected."""
    outcomes: list[Outcome] = []
    left = []
    for call in calls:
        try:
            judged(call)
        except Rejected as rejection:
            outcomes.append(rejection)
        else:
            left.append(model(run_id=call.run_id, step=call.step, operation=call.operation))
            outcomes.append(Done())
    model._default_manager.bulk_create(left)
    return outcomes


class Jars(PoolResource[Any]):
    """The pool of jars, which rejects and breaks on demand besides."""

    def judge(self, call: Call[Experiment]) -> None:
        """Reject or break on demand."""
        judge(call)

    @set_based
    def try_(self, calls: Sequence[Call[Experiment]]) -> list[Outcome]:
        answers: dict[UUID, Outcome] = {}
        for call in calls:
            try:
                self.judge(call)
            except Rejected as rejection:
                answers[call.run_id] = rejection
        going = [call for call in calls if call.run_id not in answers]
        answers |= zip([call.run_id for call in going], super().try_.many(going), strict=True)
        return [answers[call.run_id] for call in calls]

    @set_based
    def confirm(self, calls: Sequence[Call[Experiment]]) -> Sequence[Outcome]:
        for call in calls:
            self.judge(call)
        return super().confirm.many(calls)

    @set_based
    def cancel(self, calls: Sequence[Call[Experiment]]) -> Sequence[Outcome]:
        for call in calls:
            self.judge(call)
        return super().cancel.many(calls)


def demand(experiment: Experiment) -> dict[str, int]:
    """What an experiment takes: of one jar, or with "a+b" the same of two."""
    return dict.fromkeys(experiment.jar.split("+"), experiment.quantity) if experiment.jar else {}


jars = Jars(pool=Jar, hold=JarHold, demand=demand)


def label(call: Call[Experiment]) -> None:
    """One call: refer to a jar that may not exist, which only the COMMIT finds out."""
    Label.objects.create(run_id=call.run_id, jar_id=call.request.jar)


QUICK = Retry(attempts=3, delay=timedelta(milliseconds=20), jitter=0)


class Lab(Saga[Experiment]):
    """One-call, set-based, TCC, one-call; confirmed within the real half minute."""

    rerunnable = True

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Compressed(Saga[Experiment]):
    """As ``Lab``, with one commit for all steps of a phase."""

    lifecycle = "compressed"

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


#: Each takes one of the two jars of "a+b".
first_jar = PoolResource[Any](pool=Jar, hold=JarHold, demand=lambda wanted: {wanted.jar.split("+")[0]: wanted.quantity})
second_jar = PoolResource[Any](
    pool=Jar, hold=JarHold, demand=lambda wanted: {wanted.jar.split("+")[1]: wanted.quantity}
)


def wants(step: str) -> Callable[[Experiment], bool]:
    """Whether an experiment does not skip this step."""
    return lambda experiment: step not in experiment.skip


class Choosy(Saga[Experiment]):
    """Each of its steps may be skipped: before a fork, in it, and behind the pivot."""

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK, when=wants("one"))
    taken = Parallel(
        two=Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK, when=wants("two")),
        three=Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK, when=wants("three")),
    )
    approval = Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders")
    four = Step(mark, queue="delivery", retry=QUICK, when=wants("four"))


class ChoosyCompressed(Saga[Experiment]):
    """No confirmation, one commit; each step may be skipped."""

    lifecycle = "compressed"

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK, when=wants("one"))
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK, when=wants("two"))


class TwoJars(Saga[Experiment]):
    """Takes one jar after the other in a commit, and so gives them back in the other order."""

    lifecycle = "compressed"

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Tcc(first_jar, queue="inventory", retry=QUICK, finish_retry=QUICK)
    two = Tcc(second_jar, queue="delivery", retry=QUICK, finish_retry=QUICK)


class ShortLab(Saga[Experiment]):
    """As ``Lab``, with a deadline that a test can wait for."""

    approval = Confirmation(within=timedelta(seconds=1.5), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)


class Unconfirmed(Saga[Experiment]):
    """No confirmation, nothing to confirm."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


class Twice(Saga[Experiment]):
    """Two confirmations with deadlines of their own."""

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)
    payment = Confirmation(within=timedelta(seconds=60), needs_compensation=False)

    one = Step(mark, compensate=mark, queue="orders")


class Forked(Saga[Experiment]):
    """Three branches at the same time, one-call, set-based and TCC; a step before them and one behind."""

    approval = Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders")

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    taken = Parallel(
        left=Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
        right=Step(mark_all, confirm=mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK),
        three=Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK),
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Pivoted(Saga[Experiment]):
    """Approved in the middle: what comes then only goes forward, the last two at the same time."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)
    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)
    two = Step(mark_all, queue="coupons", retry=QUICK)
    sent = Parallel(left=Step(mark, queue="delivery", retry=QUICK), right=Step(mark_all, queue="orders", retry=QUICK))


class Charged(Saga[Experiment]):
    """No confirmation; one of its steps is the point of no return."""

    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)
    two = Step(mark, queue="orders", retry=QUICK, pivot=True)
    four = Step(mark, queue="delivery", retry=QUICK)


#: Of no use to try again: only what is no ``Boom``.
NEVER = replace(QUICK, never=(Boom,))


class Hopeless(Saga[Experiment]):
    """Its errors are not mended by another attempt, before the pivot, at it, behind it and on the way back."""

    one = Step(mark, compensate=mark, queue="orders", retry=NEVER, finish_retry=NEVER)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=NEVER, finish_retry=NEVER)
    three = Tcc(jars, queue="inventory", retry=NEVER, finish_retry=NEVER)
    charge = Step(mark, queue="orders", retry=NEVER, pivot=True)
    four = Step(mark, queue="delivery", retry=NEVER)


SLOW = Retry(attempts=5, delay=timedelta(seconds=2), jitter=0)


class Hurried(Saga[Experiment]):
    """Its steps, and one of them, have little time."""

    timeout = timedelta(seconds=40)

    one = Step(mark, compensate=mark, queue="orders", retry=SLOW)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=SLOW, timeout=timedelta(seconds=5))


class Closing(Saga[Experiment]):
    """A group buy: its approval must come until the request says so, its payment in time; both can be taken back."""

    approval = Confirmation(until=lambda request: request.closes_at, compensate=mark, queue="orders")
    payment = Confirmation(within=timedelta(seconds=60), compensate=mark, queue="coupons")

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


class Grouped(Saga[Experiment]):
    """It is decided together with all others of its group."""

    formed = Confirmation(decided_by=lambda request: request.group)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


class CompressedGroup(Saga[Experiment]):
    """As ``Grouped``, with one commit for all steps of a phase."""

    lifecycle = "compressed"

    formed = Confirmation(decided_by=lambda request: request.group)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


class PaidGroup(Saga[Experiment]):
    """It is paid, and decided together with its group; both can be taken back, and both come before its last step."""

    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)

    payment = Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders", finish_retry=QUICK)
    formed = Confirmation(decided_by=lambda request: request.group, compensate=mark, queue="orders", finish_retry=QUICK)

    four = Step(mark, queue="delivery", retry=QUICK)


class GroupGuardian(Saga[Experiment]):
    """Its child is decided together with the child's group."""

    child = SubSaga(Grouped, request=lambda call: call.request, queue="orders")
    four = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


def accept(call: Call[Experiment]) -> Accepted:
    """One call: begin what somebody else will report."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    judge(call)
    return Accepted(timedelta(seconds=20))


class Reported(Saga[Experiment]):
    """Its middle step ends when somebody says so; beside it another does, in a fork."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(accept, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)
    both = Parallel(
        left=Step(accept, compensate=accept, queue="delivery", retry=QUICK, finish_retry=QUICK),
        three=Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK),
    )
    four = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


class Child(Saga[Experiment]):
    """A step of ``Parent``."""

    two = Step(mark, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)


class AskedChild(Saga[Experiment]):
    """A step of ``Parent``'s that waits for a confirmation of its own."""

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    two = Step(mark, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)


class Parent(Saga[Experiment]):
    """Two of its steps are sagas, at the same time; the one before and the one behind are not."""

    payment = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    both = Parallel(
        child=SubSaga(Child, request=lambda call: call.request, queue="orders"),
        asked=SubSaga(AskedChild, request=lambda call: Experiment(reject=call.request.reject), queue="orders"),
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Ward(Saga[Experiment]):
    """A step of ``Guardian``, of which each operation may break."""

    two = Step(mark, confirm=mark, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)
    three = Step(mark, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)


class Guardian(Saga[Experiment]):
    """No confirmation: it decides by itself, and so for its child."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    child = SubSaga(Ward, request=lambda call: call.request, queue="orders")
    four = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    five = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


class AskedGuardian(Saga[Experiment]):
    """Its child waits for a confirmation of its own."""

    child = SubSaga(AskedChild, request=lambda call: call.request, queue="orders")


class ChoosyParent(Saga[Experiment]):
    """Its child, which may be skipped, may skip all of its own steps."""

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    child = SubSaga(ChoosyCompressed, request=lambda call: call.request, queue="orders", when=wants("child"))


class Telling(Saga[Experiment]):
    """As ``Lab`` in short, and it publishes what becomes of it."""

    publishes = True

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(
        mark_all,
        compensate=mark_all,
        queue="coupons",
        retry=QUICK,
        finish_retry=QUICK,
        events=Events(done="SecondMade", undone="SecondTaken"),
    )
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK, events=Events(rejected="JarEmpty"))


def key(number: int) -> Callable[[Experiment], str | None]:
    """Say which of its keys a lock is for."""
    return lambda experiment: experiment.keys[number] if number < len(experiment.keys) else None


class Keyed(Saga[Experiment]):
    """It must be alone at its keys, and waits for them."""

    locks = (Lock(key(0)), Lock(key(1)))

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(mark_all, compensate=mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


class KeyedTillApproved(Saga[Experiment]):
    """The same, and it holds them until it is approved."""

    locks = (Lock(key(0)), Lock(key(1)))
    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


class Impatient(Saga[Experiment]):
    """It waits for its second key, but not for its first."""

    locks = (Lock(key(0), wait=False), Lock(key(1)))
    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


class KeyedParent(Saga[Experiment]):
    """It and its children must be alone at the first key, its children at the second."""

    locks = (Lock(key(0)),)
    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    both = Parallel(
        left=SubSaga(Keyed, request=lambda call: Experiment(keys=call.request.keys), queue="orders", retry=QUICK),
        right=SubSaga(Keyed, request=lambda call: Experiment(keys=call.request.keys), queue="orders", retry=QUICK),
    )


class Labelled(Saga[Experiment]):
    """Its step breaks at the COMMIT, not in the participant, where there is no such jar."""

    one = Step(label, queue="orders", retry=QUICK)
    two = Step(mark, compensate=mark, queue="coupons", retry=QUICK)


def wanted_points(call: Call[Experiment]) -> dict[str, object]:
    """What is asked of the points: the experiment's jar is the account."""
    return {"account": call.request.jar, "points": call.request.quantity}


#: The service of ``examples/loyalty-points``, wherever the test has started it.
points = HttpParticipant(
    "points",
    lambda: os.environ["LAB_POINTS_URL"],
    headers=lambda: {"Authorization": f"Bearer {os.environ.get('LAB_POINTS_TOKEN', 'of-the-lab')}"},
    connect_timeout=1,
    timeout=float(os.environ.get("LAB_POINTS_TIMEOUT", "1")),
    concurrency=4,
    query="/operations",
    circuit=Circuit(faults=int(os.environ.get("LAB_POINTS_FAULTS", "0")), within=30, pause=1),
)


class Rewarded(Saga[Experiment]):
    """Its second step is in another system, over HTTP; the ones around it are not."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    debit = Step(
        points.post("/debits", wanted_points),
        compensate=points.delete("/debits"),
        queue="coupons",
        retry=QUICK,
        finish_retry=QUICK,
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


#: The same service, called by coroutines.
awaited_points = AsyncParticipant(
    "awaited-points",
    timeout=float(os.environ.get("LAB_POINTS_TIMEOUT", "2")),
    concurrency=60,
    circuit=Circuit(faults=int(os.environ.get("LAB_POINTS_FAULTS", "0")), within=30, pause=1),
)


class NotEnoughPoints(Exception):
    """The account has too few points: what its step ``rejects``."""


async def ask_points(call: Call[Experiment], method: str, path: str) -> httpx.Response:
    """One request, with the call's key."""
    headers = {"Authorization": f"Bearer {os.environ.get('LAB_POINTS_TOKEN', 'of-the-lab')}"}
    headers |= {"X-Tx-ID": str(call.run_id), "X-Branch-ID": call.step, "X-Operation": call.operation.value}
    async with httpx.AsyncClient(base_url=os.environ["LAB_POINTS_URL"], timeout=100) as client:
        return await client.request(
            method, path, json=wanted_points(call), headers={**headers, "Idempotency-Key": call.key}
        )


@awaited_points.operation
async def debit_points(call: Call[Experiment]) -> object:
    """Take the points off the account."""
    try:
        answer = await ask_points(call, "POST", "/debits")
    except httpx.ConnectError as error:
        raise NotSent(str(error)) from error
    if answer.status_code == 409:
        raise NotEnoughPoints(answer.json()["detail"])
    if answer.status_code == 425:
        return NotYet(0.1)
    return answer.raise_for_status().json()


@debit_points.query
async def find_debit(call: Call[Experiment]) -> Done | Rejected | None:
    """What became of a debit."""
    answer = await ask_points(call, "GET", "/operations")
    if answer.status_code == 404:
        return None
    found = answer.raise_for_status().json()
    return Done(found["result"]) if found["outcome"] == "done" else Rejected(found["detail"], code=found["code"])


@awaited_points.operation
async def undo_debit(call: Call[Experiment]) -> None:
    """Give the points back."""
    (await ask_points(call, "DELETE", "/debits")).raise_for_status()


class Awaited(Saga[Experiment]):
    """As ``Rewarded``, with coroutines, at a queue of their own: workers of the pool gevent are refused there."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    debit = Step(
        debit_points,
        compensate=undo_debit,
        queue="payments",
        rejects=(NotEnoughPoints,),
        retry=QUICK,
        finish_retry=QUICK,
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Promised(Saga[Experiment]):
    """Points are reserved in another system while another branch does what it does; confirmed or cancelled."""

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    both = Parallel(
        held=Tcc(points.tcc("/reservations", wanted_points), queue="inventory", retry=QUICK, finish_retry=QUICK),
        left=Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Told(Saga[Experiment]):
    """Its one step is in another system, and cannot be undone."""

    debit = Step(points.post("/debits", wanted_points), queue="coupons", retry=QUICK)
