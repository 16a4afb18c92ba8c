"""Domain events: their names and their data. Pure: no database, no broker.

A run that publishes has an event for each log entry of its steps and for each state that it enters. Each event has a
position in the run's history, counted from 1 without a gap, and is published as a CloudEvent 1.0 in JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self
from uuid import UUID

from sagas import limits
from sagas.definition.participants import Operation, Phase
from sagas.errors import DefinitionError
from sagas.states import LIVE, State
from sagas.trace_context import TraceContext, parse
from sagas.validation import parse_json, why_unstorable

#: RabbitMQ's limit, in bytes.
ROUTING_KEY_LIMIT = 255
CONTENT_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The names of a step's events. The default is the step's name with a suffix, such as ``ReserveInventoryDone``.

    Args:
        done: the forward operation has taken effect. (A TCC step holds what it asked for.)
        rejected: the step was rejected.
        failed: the step was given up, for its attempts or its time are used up, and the run is undone.
        undone: the effect was undone.
        confirmed: the effect is final.
        private: members of the step's result that its events leave out.

    Raises:
        DefinitionError: a name is invalid. A name has at most 120 letters and digits and begins with a capital letter.
    """

    done: str = ""
    rejected: str = ""
    failed: str = ""
    undone: str = ""
    confirmed: str = ""
    private: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.done, self.rejected, self.failed, self.undone, self.confirmed):
            if name:
                _check(name)
        private: Any = self.private
        if isinstance(private, str) or not all(isinstance(member, str) for member in private):
            msg = f"Events(private={self.private!r}): list names of members"
            raise DefinitionError(msg)

    def with_defaults(self, step: str) -> Events:
        """A copy with the default names of a step in place of those that were left out."""
        stem = camel_case(step)
        return Events(
            done=self.done or f"{stem}Done",
            rejected=self.rejected or f"{stem}Rejected",
            failed=self.failed or f"{stem}Failed",
            undone=self.undone or f"{stem}Undone",
            confirmed=self.confirmed or f"{stem}Confirmed",
            private=self.private,
        )


class EventData(StrEnum):
    """The data that an event has."""

    NOTHING = "nothing"
    #: The step's result, without its private members.
    RESULT = "result"
    #: The error of the log entry: kind, step and code. Its details may be personal.
    ERROR = "error"
    #: The reason for which the run is undone: kind, step and code.
    REASON = "reason"


class EventDraft(NamedTuple):
    """An event before it has its data and its position."""

    name: str
    step: str = ""
    data: EventData = EventData.NOTHING
    private: tuple[str, ...] = ()


#: The suffix of the event for entering a state, and its data. A state that is left out has no event.
_STATES = {
    State.AWAITING_CONFIRM: ("Awaiting", EventData.NOTHING),
    State.CONFIRMING: ("Confirmed", EventData.NOTHING),
    State.COMPENSATING: ("TurnedBack", EventData.REASON),
    State.SUCCEEDED: ("Succeeded", EventData.NOTHING),
    State.FAILED: ("Failed", EventData.REASON),
    State.ESCALATED: ("Escalated", EventData.ERROR),
}
_STARTED = "Started"
_RESUMED = "Resumed"
#: The log entry for a time-out that passed between two attempts.
TIMEOUT_ENTRY = "timeout"

_OUTCOMES = {
    Operation.FORWARD: "done",
    Operation.TRY: "done",
    Operation.CONFIRM: "confirmed",
    Operation.COMPENSATE: "undone",
    Operation.CANCEL: "undone",
}


class EventNames:
    """The names of all events of a saga.

    Args:
        saga: the saga's stored name, such as "orders.PlaceOrder".
        steps: the names of each step's events.
        hidden: steps whose events have no result.
    """

    def __init__(self, saga: str, steps: Mapping[str, Events], hidden: Collection[str] = ()) -> None:
        self.saga = saga
        self.stem = camel_case(saga.rpartition(".")[2])
        self.hidden = frozenset(hidden)
        self.steps = {step: events.with_defaults(step) for step, events in steps.items()}

    @property
    def started(self) -> str:
        """The run was started. It is always the first event."""
        return self.stem + _STARTED

    @property
    def confirmed(self) -> str:
        """All confirmations have come: the run only goes forward."""
        return self.stem + _STATES[State.CONFIRMING][0]

    @property
    def turned_back(self) -> str:
        """The run is being undone."""
        return self.stem + _STATES[State.COMPENSATING][0]

    def done(self, step: str, phase: Phase) -> str:
        """The event of a step's operation that is done."""
        events = self.steps[step]
        return {Phase.FORWARD: events.done, Phase.CONFIRM: events.confirmed, Phase.UNDO: events.undone}[phase]

    def rejected(self, step: str) -> str:
        """The event of a step that was rejected."""
        return self.steps[step].rejected

    def all(self) -> list[str]:
        """List all names: those of the run, then those of each step in order."""
        own = [self.started, self.stem + _RESUMED, *(self.stem + word for word, _ in _STATES.values())]
        return own + [
            name
            for events in self.steps.values()
            for name in (events.done, events.rejected, events.failed, events.undone, events.confirmed)
        ]

    def drafts(self, *, step: str, operation: str, outcome: str, before: State, after: State) -> list[EventDraft]:
        """Say which events follow from a log entry and the change of state that was made with it.

        Args:
            step: the entry's step; empty if there is no entry, or the entry has no step.
            operation: the entry's operation.
            outcome: the entry's outcome: "DONE", "REJECTED", …; "EVENT" if it is no operation of a step.
            before: the run's state before.
            after: the run's state after, which may be the same.
        """
        told: list[EventDraft] = []
        events = self.steps.get(step) or (Events().with_defaults(step) if step else None)
        if events is not None and outcome == "DONE" and operation in _OUTCOMES:
            name: str = getattr(events, _OUTCOMES[Operation(operation)])
            told.append(
                EventDraft(name, step, EventData.NOTHING if step in self.hidden else EventData.RESULT, events.private)
            )
        elif events is not None and outcome == "REJECTED":
            told.append(EventDraft(events.rejected, step, EventData.ERROR))
        elif (
            events is not None
            and before is not after is State.COMPENSATING
            and (outcome == "FAULT" or (outcome, operation) == ("EVENT", TIMEOUT_ENTRY))
        ):
            # The step is given up for good. An undo, a confirm or a step behind the pivot that is given up has no such
            # event: the run is escalated, and a person may resume it.
            told.append(EventDraft(events.failed, step, EventData.ERROR))
        if before is State.ESCALATED and after in LIVE:
            told.append(EventDraft(self.stem + _RESUMED))
        elif before is not after and after in _STATES:
            word, data = _STATES[after]
            told.append(EventDraft(self.stem + word, "", data))
        return told

    def check(self, *, publishes: bool) -> None:
        """Raise ``DefinitionError`` for an invalid name, a name of two events, or, if published, a bad routing key."""
        names = self.all()
        for name in names:
            _check(name)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            msg = f"{self.saga}: two events are called {', '.join(twice)}; name them by events=Events(…) of their steps"
            raise DefinitionError(msg)
        if publishes:
            if not re.fullmatch(r"\w+(\.\w+)*", self.saga):
                msg = (
                    f"{self.saga!r} cannot be in a routing key; a saga that publishes has a name like orders.PlaceOrder"
                )
                raise DefinitionError(msg)
            longest = max((routing_key(self.saga, name) for name in names), key=_bytes)
            if _bytes(longest) > ROUTING_KEY_LIMIT:
                msg = f"{longest}: a routing key has at most {ROUTING_KEY_LIMIT} bytes"
                raise DefinitionError(msg)


def camel_case(name: str) -> str:
    """``reserve_inventory`` as ``ReserveInventory``."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name))


def routing_key(saga: str, event: str) -> str:
    """``<app>.<Saga>.<Event>``: what consumers bind to, such as ``orders.PlaceOrder.*``. Also the CloudEvent's type."""
    return f"{saga}.{event}"


@dataclass(frozen=True, slots=True)
class Event:
    """A domain event, as it is in the outbox and as a consumer gets it.

    Attributes:
        run_id: the run.
        position: the position in the run's history, from 1, without a gap.
        name: the event's name.
        saga: the stored name of the run's saga.
        version: the saga's version.
        step: the step; empty for an event of the run.
        business_key: what people know the run by; empty if it has none.
        trace_id: the id of the run's trace.
        occurred_at: when it happened, by the database's clock.
        data: the step's result, or the reason; ``None`` if the event has no data.
        trace_parent: the rest of the context of the run's trace, as the run keeps it.
    """

    run_id: UUID
    position: int
    name: str
    saga: str
    version: int
    step: str
    business_key: str
    trace_id: UUID
    occurred_at: datetime
    data: Any = None
    trace_parent: str | None = None

    @property
    def trace(self) -> TraceContext:
        """The context of the run's trace."""
        return TraceContext.of_run(self.trace_id, self.trace_parent)

    @property
    def id(self) -> str:
        """``<run>:<position>``: the same in every delivery. Consumers deduplicate by it."""
        return f"{self.run_id}:{self.position}"

    @property
    def routing_key(self) -> str:
        return routing_key(self.saga, self.name)

    def to_json(self) -> str:
        """Write it as a CloudEvent 1.0 in JSON. Members outside the standard are extension attributes."""
        trace = self.trace
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": f"/sagas/{self.saga}",
            "type": self.routing_key,
            "subject": self.business_key or None,
            "time": self.occurred_at.isoformat(),
            "datacontenttype": None if self.data is None else "application/json",
            "runid": str(self.run_id),
            "position": self.position,
            "sagaversion": self.version,
            "step": self.step or None,
            "traceid": self.trace_id.hex,
            # CloudEvents' extension for distributed tracing.
            "traceparent": trace.traceparent,
            "tracestate": trace.state or None,
            "data": self.data,
        }
        return json.dumps({key: value for key, value in attributes.items() if value is not None}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what ``to_json`` has written; ``ValueError`` if it is no event of a saga."""
        try:
            read = parse_json(text)
            saga, _, name = _text(read["type"]).rpartition(".")
            trace = parse(_text(read.get("traceparent", "")), _text(read.get("tracestate", "")))
            return cls(
                run_id=UUID(read["runid"]),
                position=_number(read["position"]),
                name=name,
                saga=saga,
                version=_number(read["sagaversion"]),
                step=_text(read.get("step", "")),
                business_key=_text(read.get("subject", "")),
                trace_id=UUID(read["traceid"]),
                occurred_at=datetime.fromisoformat(read["time"]),
                data=read.get("data"),
                # Events of earlier versions have none.
                trace_parent=trace.stored if trace and trace != TraceContext.of_run(trace.trace_id, None) else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"no event of a saga: {type(error).__name__}: {error}"
            raise ValueError(msg) from error


def _text(value: object) -> str:
    """Check a text. One that the consumer's database cannot store would be delivered again and again."""
    if not isinstance(value, str) or why_unstorable(value):
        msg = f"no text of an event: {repr(value)[:80]}"
        raise ValueError(msg)
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limits.INTEGER:
        msg = f"no number of an event: {repr(value)[:80]}"
        raise ValueError(msg)
    return value


def _check(name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[^\W_]+", name) or name[0].islower() or name[0].isdigit():
        msg = (
            f"{name!r} is no name of an event: give letters and digits, first a capital letter, as in InventoryReserved"
        )
        raise DefinitionError(msg)
    if len(name) > limits.EVENT_NAME:
        msg = f"{name}: an event's name has at most {limits.EVENT_NAME} characters"
        raise DefinitionError(msg)


def _bytes(text: str) -> int:
    return len(text.encode())
