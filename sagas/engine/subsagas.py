"""A step that is a saga: its outcome is the step's outcome, and it is confirmed and undone with its parent.

The child is a run of its own. It keeps its holds until its parent decides, as if it awaited one more confirmation.
Parent and child never lock each other. The parent reads what the child has committed, and confirms or cancels the
child after its own commit. A request that is lost is made again.
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
from sagas.states import State
from sagas.store.locked_runs import PARENT
from sagas.store.workers import kick

logger = logging.getLogger(__name__)

#: After so long a parent reads its child's state again, if the child has not woken it.
RECHECK = timedelta(seconds=30)
#: The state of a child that has ended does not change, so there is no second attempt: the parent is escalated at once.
_FINISH = replace(FINISH_RETRY, never=(ChildEnded,))


class SubSaga(Step):
    """A step that is a saga of its own.

    >>> class OpenCampaign(Saga[CampaignRequest]):
    ...     goods = SubSaga(BuyGoods, request=lambda call: GoodsRequest(call.request.sku), queue="orders")

    Args:
        saga: the child's saga. It needs no confirmation for its parent; confirmations that it has must come.
        request: computes the child's request from the parent's call.
        queue: the queue whose workers start, confirm and cancel the child.
        business_key: computes the child's business key from the parent's call.
        retry: when starting the child is tried again.
        timeout: how long the child may take; then parent and child are undone.
        when: a function of the parent's request that says whether there is a child; see ``Step``.
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
        when: Callable[[Any], bool] | None = None,
    ) -> None:
        super().__init__(
            _Start(saga, request, business_key),
            confirm=_Confirm(),
            compensate=_Cancel(),
            queue=queue,
            retry=retry,
            finish_retry=_FINISH,
            timeout=timeout,
            when=when,
        )
        self.saga = saga
        # Its result has the child's results in it, which are personal where they are in the child.
        self.personal = frozenset(
            ("results", name, *path) for name, paths in saga.definition.marks.results.items() for path in paths
        )

    def _locate(self, _participant: object) -> Location:
        return Location.CHILD


def child_run_id(run_id: UUID, step: str) -> UUID:
    """The id of the child that is this step of this run. It is always the same, so a child is started once."""
    return uuid5(run_id, step)


# The operations on a child: each reads the child's state, and asks for a change until it reads that it is done.


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
        # Before its parent decides, only a person can end a child as SUCCEEDED. Its effects are there, so the step is
        # done. They cannot be undone: if the parent is undone later, it is escalated.
        if found.state is State.SUCCEEDED or (found.state is State.AWAITING_CONFIRM and _is_complete(child, found)):
            return Done({"run": str(child), "results": json.loads(found.results)})
        return Accepted(RECHECK)


def _rejection_of_child(why: Mapping[str, Any], saga: str) -> Rejected:
    """The rejection of the parent's step, whose child has failed. Customers may read what they may of the child."""
    if not why:
        return Rejected(f"{saga} failed", code="ChildFailed")
    told, detail = public_reason(why), why.get("detail", "")
    note = f"{why.get('code')}: {detail}" if detail != told["detail"] else ""
    return Rejected(told["detail"], code=told["code"] or "ChildFailed", note=note)


def _is_complete(run_id: UUID, child: store.runs.Child) -> bool:
    """Whether a child has received all confirmations of its own definition."""
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
        # None: the child was never started, and will not be, because its parent is being undone.
        if found is None or found.state is State.FAILED:
            return Done()
        if found.state is State.SUCCEEDED:
            raise ChildEnded(f"{child} is {found.state}, and cannot be undone any more")
        after_commit(cancel_child, child, f"{call.run_id} is being undone")
        return Accepted(RECHECK)


# Changes of a child --------------------------------------------------------------------------------------------
#
# Each is a transaction of its own after the parent's commit, and locks the child only. If it is lost, a live parent
# asks again, and a child reads the state of a parent that has ended.


def confirm_child(child: UUID) -> None:
    """Confirm a child for its parent."""
    lifecycle.receive_confirmation(child, PARENT, "{}")
    kick()


def cancel_child(child: UUID, reason: str) -> None:
    """Undo a child for its parent."""
    try:
        lifecycle.cancel_run(child, reason=reason, by="parent", by_parent=True)
    except AlreadyDecided as decided:
        if decided.state is not State.ESCALATED:
            raise
        # The child is escalated. The parent asks again until a person has resolved it.
    kick()


def end_children(parent: UUID, outcome: State) -> None:
    """End the children of a run that a person has ended, each as that person has ended the parent."""
    for child in store.runs.children(parent):
        try:
            if outcome is State.SUCCEEDED:
                confirm_child(child)
            else:
                cancel_child(child, f"{parent} was ended by hand")
        except AlreadyDecided as decided:
            # The other children are ended all the same. A child that has ended otherwise is reported in the log.
            if decided.state is not State.ESCALATED:
                logger.warning(
                    "sagas: %s was ended as %s, and its child %s is %s", parent, outcome, child, decided.state
                )
