"""A step that is a saga: its outcome is the step's outcome, and it is confirmed and undone with its parent.

The child is a run of its own. It holds what its steps hold until its parent decides, as if it waited for one more
confirmation. Parent and child never lock each other: the parent reads what the child has committed, and what it
wants of the child it asks for after its own commit; what is lost on the way is asked for again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from sagas import store
from sagas.db import after_commit
from sagas.decisions.reasons import public_reason
from sagas.definition.participants import Accepted, Call, Done, Location
from sagas.definition.retry import Retry
from sagas.definition.saga import Saga
from sagas.definition.steps import FINISH_RETRY, FORWARD_RETRY, Step
from sagas.engine import lifecycle
from sagas.errors import AlreadyDecided, ChildEnded, Rejected
from sagas.redis.kicks import kick
from sagas.states import State
from sagas.store.locked_runs import PARENT

logger = logging.getLogger(__name__)

#: After so long a parent looks by itself what has become of a child that has not told it.
RECHECK = timedelta(seconds=30)
#: A child that has ended does not change by being asked again: a person is called at once.
_FINISH = replace(FINISH_RETRY, never=(ChildEnded,))


class SubSaga(Step):
    """A step that is a saga of its own.

    >>> class OpenCampaign(Saga[CampaignRequest]):
    ...     goods = SubSaga(BuyGoods, request=lambda call: GoodsRequest(call.request.sku), queue="orders")

    Args:
        saga: the child's definition. It needs no confirmation for its parent's sake; one that it has must come.
        request: what the child is asked for, computed from the parent's call.
        queue: the queue whose workers look after the child on behalf of the parent.
        business_key: what people know the child by; the parent's call is given.
        retry: policy of starting the child.
        timeout: how long the child may take; then both are undone.
    """

    def __init__(
        self,
        saga: type[Saga[Any]],
        *,
        request: Callable[[Call[Any]], object],
        queue: str,
        business_key: Callable[[Call[Any]], str] = lambda _: "",
        retry: Retry = FORWARD_RETRY,
        timeout: timedelta | None = None,
    ) -> None:
        super().__init__(
            _Start(saga, request, business_key),
            confirm=_Confirm(),
            compensate=_Cancel(),
            queue=queue,
            retry=retry,
            finish_retry=_FINISH,
            timeout=timeout,
        )
        self.saga = saga
        # Its result is the child's, and as personal.
        self.personal = frozenset(
            ("results", name, *path) for name, paths in saga.definition.marks.results.items() for path in paths
        )

    def _locate(self, _participant: object) -> Location:
        return Location.CHILD


def child_run_id(run_id: UUID, step: str) -> UUID:
    """The id of the run that is this step of this run: the same however often it is started."""
    return uuid5(run_id, step)


# The operations on a child: each asks for what it wants, and accepts until it sees that done.


class _Start:
    def __init__(
        self,
        saga: type[Saga[Any]],
        request: Callable[[Call[Any]], object],
        business_key: Callable[[Call[Any]], str],
    ) -> None:
        self.saga = saga
        self.request = request
        self.business_key = business_key

    def __call__(self, call: Call[Any]) -> Done | Accepted:
        child = child_run_id(call.run_id, call.step)
        found = store.runs.read_child(child)
        if found is None:
            lifecycle.insert_run(
                self.saga,
                self.request(call),
                business_key=self.business_key(call),
                run_id=child,
                parent=(call.run_id, call.step),
            )
            after_commit(kick)
            return Accepted(RECHECK)
        if found.state is State.FAILED:
            raise _rejection_of_child(json.loads(found.reason or "{}"), self.saga.name)
        # Before its parent decides, only a person can have ended it as SUCCEEDED: it holds all, and more firmly. If the
        # parent is undone after all, that cannot be, and another person is called then.
        if found.state is State.SUCCEEDED or (found.state is State.AWAITING_CONFIRM and _is_complete(child, found)):
            return Done({"run": str(child), "results": json.loads(found.results)})
        return Accepted(RECHECK)


def _rejection_of_child(why: Mapping[str, Any], saga: str) -> Rejected:
    """Why a child has failed, as its parent says it: what is for operators stays so."""
    if not why:
        return Rejected(f"{saga} failed", code="ChildFailed")
    told, detail = public_reason(why), why.get("detail", "")
    note = f"{why.get('code')}: {detail}" if detail != told["detail"] else ""
    return Rejected(told["detail"], code=told["code"] or "ChildFailed", note=note)


def _is_complete(run_id: UUID, child: store.runs.Child) -> bool:
    """Whether all that the child itself waits for has come: by the definition that it follows."""
    definition = store.definitions.find(child.saga, child.version, child.shape)
    return definition.confirmation_names <= store.confirmations.received_by(run_id)


class _Confirm:
    def __call__(self, call: Call[Any]) -> Done | Accepted:
        child = child_run_id(call.run_id, call.step)
        found = store.runs.read_child(child)
        if found is not None and found.state is State.SUCCEEDED:
            return Done()
        if found is None or found.state is State.FAILED:
            raise ChildEnded(f"{child} is {found.state if found else 'gone'}, and cannot be confirmed any more")
        after_commit(confirm_child, child)
        return Accepted(RECHECK)


class _Cancel:
    def __call__(self, call: Call[Any]) -> Done | Accepted:
        child = child_run_id(call.run_id, call.step)
        found = store.runs.read_child(child)
        # None: it was never started, and never will be, for its parent is being undone.
        if found is None or found.state is State.FAILED:
            return Done()
        if found.state is State.SUCCEEDED:
            raise ChildEnded(f"{child} is {found.state}, and cannot be undone any more")
        after_commit(cancel_child, child, f"{call.run_id} is being undone")
        return Accepted(RECHECK)


# What the children of a run are told ---------------------------------------------------------------------------
#
# Each in a transaction of its own that locks the child only, behind the commit of its parent. What is lost there is
# found again: a live parent asks again, and a child looks itself at a parent that has ended.


def confirm_child(child: UUID) -> None:
    """Confirm it."""
    lifecycle.receive_confirmation(child, PARENT, "{}")
    kick()


def cancel_child(child: UUID, reason: str) -> None:
    """Undo it."""
    try:
        lifecycle.cancel_run(child, reason=reason, by="parent", by_parent=True)
    except AlreadyDecided as decided:
        if decided.state is not State.ESCALATED:
            raise
        # A person has it; the parent asks again until it is resolved.
    kick()


def end_children(parent: UUID, outcome: State) -> None:
    """Have the children of a run that a person has ended end as it did."""
    for child in store.runs.children(parent):
        try:
            if outcome is State.SUCCEEDED:
                confirm_child(child)
            else:
                cancel_child(child, f"{parent} was ended by hand")
        except AlreadyDecided as decided:
            # Its siblings are told all the same. One that has gone the other way is for whoever ended its parent.
            if decided.state is not State.ESCALATED:
                logger.warning(
                    "sagas: %s was ended as %s, and its child %s is %s", parent, outcome, child, decided.state
                )
