"""Make the calls of remote participants in threads or coroutines, and record their answers.

The lanes make the calls, at most as many at a time as the participant allows. One more thread, the
recorder, takes all answers that have come, and records them in one transaction for each operation, on a database
connection of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connection

from sagas import log_context, runtime, trace_context
from sagas.db import ErrorKind, classify_error, describe_error, is_lost, is_transient
from sagas.decisions.messages import Link, Message, RemoteCalls
from sagas.definition.participants import AsyncRemote, Call, Done, NotYet, Remote, is_async
from sagas.engine.delivery import delivery_of
from sagas.engine.invocation import Fault, as_rejection
from sagas.engine.outside import remote_calls
from sagas.engine.outside.remote_calls import Answered
from sagas.errors import Rejected
from sagas.failure_log import exc_info_of
from sagas.remote import lanes
from sagas.serialization import check_size, dump_json

logger = logging.getLogger(__name__)

Publish = Callable[[list[Message]], None]
#: Seconds after which an idle recorder closes its connection, and ends.
IDLE = 2.0
#: Seconds between tries to record when the database is away or a run is locked.
PAUSE = 0.2
#: Tries to record an answer. After them the run is found by its lease.
TRIES = 50


def start_remote_calls(message: RemoteCalls, publish: Publish) -> None:
    """Have the lanes' threads make calls whose INTENT is committed. Return at once.

    Args:
        message: the calls.
        publish: called in another thread with what must be published after an answer is recorded.
    """
    assert not connection.in_atomic_block, "a call before its INTENT is committed"
    participant = _participant(message.link)
    lane = lanes.lane_of(participant)
    for call in message.calls:
        if is_async(participant):
            lane.submit(partial(_await_and_record, participant, message, call, publish))
        else:
            lane.submit(partial(_call_and_record, participant, message, call, publish))


def perform_calls_now(message: RemoteCalls) -> list[Message]:
    """Make the calls in this thread, one after the other, and record their answers; return what must be published."""
    assert not connection.in_atomic_block, "a call before its INTENT is committed"
    participant = _participant(message.link)
    answered = [
        _call(participant, call, begun=call.run_id in message.begun, link=message.link) for call in message.calls
    ]
    return remote_calls.finish_calls(message.link, answered, worker=message.worker)


def drain_remote_calls(seconds: float) -> bool:
    """Wait until the calls of this process are made and recorded. Return whether all of them are."""
    end = time.monotonic() + seconds
    while lanes.count_calls() or _recorder().busy:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _participant(link: Link) -> Remote:
    return delivery_of(link, "").action.remote


def _call_and_record(participant: Remote, message: RemoteCalls, call: Call[Any], publish: Publish) -> None:
    answered = _call(participant, call, begun=call.run_id in message.begun, link=message.link)
    # Before the lane counts the call as ended: a drain must find it in the lane or at the recorder.
    _recorder().note(_Unrecorded(message.link, message.worker, answered, publish))


async def _await_and_record(participant: AsyncRemote, message: RemoteCalls, call: Call[Any], publish: Publish) -> None:
    began, begun = time.perf_counter(), call.run_id in message.begun
    answer: Done | Rejected | NotYet | Fault
    try:
        with _in_trace(call, message.link):
            answer = _checked(call, await participant.acall(call, repeated=begun and call.attempt > 1))
    except Exception as error:
        answer = _answer_of(error, message.link)
    answered = Answered(call, begun, answer, _microseconds_since(began))
    _recorder().note(_Unrecorded(message.link, message.worker, answered, publish))


def _call(participant: Remote, call: Call[Any], *, begun: bool, link: Link) -> Answered:
    began = time.perf_counter()
    answer: Done | Rejected | NotYet | Fault
    try:
        with _in_trace(call, link):
            answer = _checked(call, participant.call(call, repeated=begun and call.attempt > 1))
    except Exception as error:
        answer = _answer_of(error, link)
    return Answered(call, begun, answer, _microseconds_since(began))


@contextmanager
def _in_trace(call: Call[Any], link: Link) -> Iterator[None]:
    called = trace_context.Called(link.saga, call.run_id, call.step, call.operation.value, call.attempt)
    with trace_context.calling(call.trace, called), log_context.of(link.saga, call.step, (call.run_id,)):
        yield


def _checked(call: Call[Any], answer: Done | Rejected | NotYet) -> Done | Rejected | NotYet:
    """The answer, unless its result is too large or no JSON."""
    if isinstance(answer, Done):
        check_size(dump_json(answer.result), f"the result of {call.step} {call.operation}")
    return answer


def _answer_of(error: Exception, link: Link) -> Rejected | Fault:
    """What an exception means: a rejection, if the step says so."""
    return as_rejection(error) if isinstance(error, delivery_of(link, "").step.rejects) else Fault(error)


def _microseconds_since(began: float) -> int:
    return int((time.perf_counter() - began) * 1e6)


class _Unrecorded:
    """An answer that is not recorded yet."""

    __slots__ = ("answered", "link", "publish", "tries", "worker")

    def __init__(self, link: Link, worker: str, answered: Answered, publish: Publish) -> None:
        self.link = link
        self.worker = worker
        self.answered = answered
        self.publish = publish
        self.tries = 0


class Recorder:
    """The one thread that records answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: SimpleQueue[_Unrecorded] = SimpleQueue()
        self._alive = False
        self._open = 0

    @property
    def busy(self) -> bool:
        """Whether an answer is not recorded yet."""
        return self._open > 0

    def note(self, noted: _Unrecorded) -> None:
        """Have an answer recorded."""
        with self._lock:
            self._open += 1
            self._noted.put(noted)
            if not self._alive:
                self._alive = True
                threading.Thread(target=self._work, name="sagas-recorder", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                waiting = [self._noted.get(timeout=IDLE)]
            except Empty:
                with self._lock:
                    if self._noted.empty():
                        self._alive = False
                        break
                continue
            while True:
                try:
                    waiting.append(self._noted.get_nowait())
                except Empty:
                    break
            for group in _by_operation(waiting):
                left = _record(group)
                with self._lock:
                    self._open -= len(group) - len(left)
                for noted in left:
                    self._noted.put(noted)
                if left:
                    time.sleep(PAUSE)
        connection.close()


def _by_operation(noted: Sequence[_Unrecorded]) -> list[list[_Unrecorded]]:
    """Group answers that one transaction can record: of one operation, and each run once."""
    groups: dict[tuple[Link, str, int], list[_Unrecorded]] = defaultdict(list)
    seen: dict[Any, int] = defaultdict(int)
    for one in noted:
        of = (one.link, one.answered.call.run_id)
        groups[one.link, one.worker, seen[of]].append(one)
        seen[of] += 1
    return list(groups.values())


def _record(group: Sequence[_Unrecorded]) -> list[_Unrecorded]:
    """Record answers, and publish what follows; return the answers that must be tried again."""
    first = group[0]
    try:
        messages = remote_calls.finish_calls(first.link, [one.answered for one in group], worker=first.worker)
    except Exception as error:
        if len(group) > 1 and not is_lost(error):
            # One run is the cause, or is locked; the others must not wait for it.
            return [left for one in group for left in _record([one])]
        return _retry_or_drop(group, error)
    if messages:
        try:
            first.publish(messages)
        except Exception as error:
            logger.warning("sagas: %d message(s) left to the tick: %s", len(messages), describe_error(error))
    return []


def _retry_or_drop(group: Sequence[_Unrecorded], error: Exception) -> list[_Unrecorded]:
    passing = is_transient(error)
    if passing and classify_error(error) is not ErrorKind.COLLISION:
        connection.close()
    left: list[_Unrecorded] = []
    for one in group:
        one.tries += 1
        if passing and one.tries < TRIES:
            left.append(one)
        else:
            call = one.answered.call
            logger.error(
                "sagas: the answer to %s was not recorded; the run is found by its lease",
                call.key,
                exc_info=exc_info_of(error, _first_line),
            )
    return left


def _first_line(text: str) -> str:
    """The first line of a database error. The other lines quote the row."""
    return text.partition("\n")[0]


def _recorder() -> Recorder:
    own = runtime.own
    with own.lock:
        own.recorder = own.recorder or Recorder()
        return own.recorder
