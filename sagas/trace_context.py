"""Trace contexts: which trace something belongs to, as W3C Trace Context writes it (``traceparent``, ``tracestate``).

A run keeps the context in which it was started, and all that happens to it later joins that trace. Nothing here needs
OpenTelemetry: without it, the context that a request brings is kept and passed on all the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sagas import runtime

__all__ = ["TraceContext", "current", "use"]

logger = logging.getLogger(__name__)

#: The longest ``tracestate`` that is kept. The specification demands that so much is passed on.
STATE_LIMIT = 512
#: Version, trace, span and flags; a later version may have more behind.
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_STATE = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace.

    Attributes:
        trace_id: the trace.
        span_id: the span that what happens here is a part of, as 16 hexadecimal digits.
        flags: of 8 bits, of which the lowest says that the trace is sampled.
        state: the ``tracestate`` of other systems, passed on as it came.
    """

    trace_id: UUID
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether spans of this trace are recorded."""
        return bool(self.flags & _SAMPLED)

    @property
    def traceparent(self) -> str:
        """The header ``traceparent``."""
        return f"00-{self.trace_id.hex}-{self.span_id}-{self.flags:02x}"

    @property
    def stored(self) -> str:
        """All but the trace's id, as a run keeps it."""
        return f"{self.span_id}-{self.flags:02x}{f';{self.state}' if self.state else ''}"

    @classmethod
    def of_run(cls, trace_id: UUID, stored: str | None) -> TraceContext:
        """The context of a run, of its columns. A run that was started outside any trace is the trace's only span."""
        if not stored:
            return cls(trace_id, trace_id.hex[16:])
        parent, _, state = stored.partition(";")
        span_id, _, flags = parent.partition("-")
        return cls(trace_id, span_id, int(flags, 16), state)


@dataclass(frozen=True, slots=True)
class Called:
    """A call of another system for a run; ``attempt`` counts from 1."""

    saga: str
    run_id: UUID
    step: str
    operation: str
    attempt: int


class Source(Protocol):
    """Who records spans in this process."""

    def current(self) -> TraceContext | None:
        """The context of the span that is recorded here and now."""

    def begin(self, name: str, run_id: UUID) -> tuple[TraceContext, Callable[[], object]]:
        """Begin a trace of its own, for the start of a run of the saga ``name``.

        Returns:
            Its context; and a function that ends the span of the start, for after the commit.
        """

    def calling(self, context: TraceContext, called: Called) -> AbstractContextManager[TraceContext]:
        """Record a call of another system, which a block makes, as a span of a sampled trace; give its context."""

    def shut_down(self) -> None:
        """Send what is recorded, for this process ends. It takes a few seconds at most, and what is left is lost."""


#: A context, or the columns of a run.
_bound: ContextVar[TraceContext | tuple[str, str | None] | None] = ContextVar("sagas_trace_context", default=None)


def current() -> TraceContext | None:
    """The context in which this code runs: that of a run whose participant is called, of a span, or of a request."""
    bound = _bound.get()
    if isinstance(bound, TraceContext):
        return bound
    if bound is not None:
        return TraceContext.of_run(UUID(bound[0]), bound[1])
    source = runtime.declared.trace_source
    return None if source is None else source.current()


@contextmanager
def use(context: TraceContext | None) -> Iterator[None]:
    """Run a block in a context: runs that are started in it join that trace. ``None`` changes nothing."""
    if context is None:
        yield
        return
    token = _bound.set(context)
    try:
        yield
    finally:
        _bound.reset(token)


def receive(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Run the rest of this thread's or coroutine's work in the context that a request brings, until the next request.

    One that is malformed is ignored, and counted. Where spans are recorded here, the recorder has taken it already.
    """
    given = None if traceparent is None else parse(traceparent, tracestate or "")
    if traceparent is not None and given is None:
        runtime.memory.malformed_traces += 1
        logger.debug("sagas: a malformed traceparent was ignored")
    source = runtime.declared.trace_source
    _bound.set(None if source is not None and source.current() is not None else given)
    return given


def parse(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """Read the two headers; ``None`` if ``traceparent`` is malformed. A ``tracestate`` that is too long is dropped."""
    found = _PARENT.fullmatch(traceparent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if (version == "00" and more) or trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    kept = tracestate if len(tracestate) <= STATE_LIMIT and _STATE.fullmatch(tracestate) else ""
    return TraceContext(UUID(hex=trace_id), span_id, int(flags, 16), kept)


@contextmanager
def calling(context: TraceContext | None, called: Called) -> Iterator[None]:
    """Run a block that calls another system for a run. The call is a span of its own where the trace is recorded."""
    source = runtime.declared.trace_source
    if context is None or source is None or not context.sampled:
        with use(context):
            yield
    else:
        with source.calling(context, called) as span, use(span):
            yield


@contextmanager
def of_call(trace_id: str, stored: str | None) -> Iterator[None]:
    """Run a block in the context of a run, of its columns. It is only parsed where somebody asks."""
    token = _bound.set((trace_id, stored) if trace_id else None)
    try:
        yield
    finally:
        _bound.reset(token)
