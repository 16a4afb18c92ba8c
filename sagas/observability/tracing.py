"""Spans of runs, by OpenTelemetry: what became of a run, written after its commit, in the trace of its start.

Most runs are not sampled, so that is looked at first, in the row, before OpenTelemetry is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING
from uuid import UUID
from weakref import WeakKeyDictionary

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from sagas import runtime
from sagas.errors import Rejected
from sagas.observability import names
from sagas.states import State
from sagas.store import log, observers
from sagas.store.observers import Written
from sagas.store.runs import Row
from sagas.trace_context import Called, TraceContext

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

    from sagas.store.moves import Entry

logger = logging.getLogger(__name__)

#: Seconds for the last export of a process that ends.
ENDS_WITHIN = 3.0
#: The most links of a span: one takes 5 µs, and more are cut off by OpenTelemetry anyway.
LINKS = 128
#: A run's flags are the two digits behind its span; the last one is odd if it is sampled.
_FLAG, _ODD = 18, frozenset("13579bdf")
#: Of these nothing is told: a remote call that begins has a span of its own, which is recorded while it is made.
_SILENT = frozenset({"INTENT"})
_FAILED = frozenset({"FAULT"})


class Tracing:
    """Records spans by OpenTelemetry; see ``sagas.trace_context.Source``.

    Args:
        provider: where they go; by default that of the process.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = trace.get_tracer(names.SCOPE, tracer_provider=provider)
        self._linked: WeakKeyDictionary[Span, set[UUID]] = WeakKeyDictionary()

    def current(self) -> TraceContext | None:
        """The context of OpenTelemetry's current span."""
        found = trace.get_current_span().get_span_context()
        return _read(found) if found.is_valid else None

    def begin(self, name: str, run_id: UUID) -> tuple[TraceContext, Callable[[], object]]:
        """Begin the trace of a run that was started outside any. The sampler decides whether it is recorded."""
        attributes = {names.SAGA: name, names.RUN_ID: str(run_id)}
        span = self._tracer.start_span(names.START, context=otel_context.Context(), attributes=attributes)
        return _read(span.get_span_context()), span.end

    @contextmanager
    def calling(self, context: TraceContext, called: Called) -> Iterator[TraceContext]:
        """Record a call of another system while it is made; what else is recorded in the block is a part of it.

        Of an error only the class is recorded: its text may quote a customer.
        """
        attributes: dict[str, str | int] = {
            names.SAGA: called.saga,
            names.RUN_ID: str(called.run_id),
            names.STEP: called.step,
            names.OPERATION: called.operation,
            names.ATTEMPT: called.attempt,
        }
        with self._tracer.start_as_current_span(
            names.call(called.step, called.operation),
            context=_parent(context),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _read(span.get_span_context())
            except Exception as error:
                span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
                if not isinstance(error, Rejected):
                    span.set_status(Status(StatusCode.ERROR))
                raise

    def shut_down(self) -> None:
        """Send what is recorded, within ``ENDS_WITHIN`` seconds: a collector that is away holds no process up."""
        end = getattr(self._provider or trace.get_tracer_provider(), "shutdown", None)
        if end is not None:
            ending = Thread(target=end, name="sagas-spans", daemon=True)
            ending.start()
            ending.join(ENDS_WITHIN)

    def observe(self, written: Written) -> None:
        """Record spans of the sampled ones of these runs."""
        entry = written.entry
        if entry is None or entry.outcome in _SILENT:
            return
        sampled = [row for row in written.rows if row.trace_parent and row.trace_parent[_FLAG] in _ODD]
        if not sampled:
            return
        here = trace.get_current_span()
        if entry.outcome != "EVENT":
            self._link(here, sampled)
        after = written.change.after.state if written.change else None
        shared: dict[str, str | int] = {
            names.SAGA: sampled[0].saga,
            names.OPERATION: entry.operation,
            names.OUTCOME: entry.outcome,
        }
        if entry.step:
            shared[names.STEP] = entry.step
        if entry.outcome != "EVENT":
            shared[names.COHORT_SIZE] = len(written.rows)
        waits = self._waits(written, entry, sampled)
        for row in sampled:
            parent = _parent(_context_of(row))
            attributes = shared | {names.RUN_ID: str(row.id)}
            if entry.outcome != "EVENT":
                attributes[names.ATTEMPT] = row.attempt + 1
            if after is not None and after is not row.state:
                attributes[names.STATE] = after.value
            if row.id in waits:
                self._record(names.wait(entry.step or entry.operation), parent, attributes, waits[row.id], written.at)
            began = written.at - entry.duration_us * 1000
            span = self._start(names.operation(entry), parent, attributes, began, _links_to(here, entry))
            if entry.outcome in _FAILED or after is State.ESCALATED:
                span.set_status(Status(StatusCode.ERROR, entry.outcome))
            span.end(written.at)

    def _waits(self, written: Written, entry: Entry, rows: Sequence[Row]) -> dict[UUID, int]:
        """Since when the runs have waited for what has come now, in nanoseconds of Unix time."""
        if entry.outcome == "EVENT":
            if written.change is None or written.change.before.state is not State.AWAITING_CONFIRM:
                return {}
            since = log.arrival_times([row.id for row in rows], [])
        else:
            waited = [row.id for row in rows if row.pending and (wait := row.waits.get(entry.step)) and wait.operation]
            if not waited or entry.outcome == "ACCEPTED":
                return {}
            since = log.first_times("ACCEPTED", waited, entry.step, entry.operation)
        return {run_id: min(int(at.timestamp() * 1e9), written.at) for run_id, at in since.items()}

    def _start(
        self,
        name: str,
        parent: Context,
        attributes: Mapping[str, str | int],
        began: int,
        links: Sequence[Link] = (),
    ) -> Span:
        return self._tracer.start_span(name, context=parent, attributes=attributes, start_time=began, links=links)

    def _record(self, name: str, parent: Context, attributes: Mapping[str, str | int], began: int, ended: int) -> None:
        self._start(name, parent, attributes, began).end(ended)

    def _link(self, span: Span, rows: Sequence[Row]) -> None:
        """Join the span in which a cohort is performed, that of the Celery task, to the traces of its runs."""
        if not span.is_recording():
            return
        linked = self._linked.setdefault(span, set())
        for row in rows:
            if len(linked) >= LINKS:
                return
            if row.id not in linked:
                linked.add(row.id)
                span.add_link(_span_context(_context_of(row)), {names.RUN_ID: str(row.id)})


def _links_to(here: Span, entry: Entry) -> tuple[Link, ...]:
    """A link to the request in which something happened to a run: it may be another one than that of its start."""
    context = here.get_span_context()
    return (Link(context),) if entry.outcome == "EVENT" and context.is_valid else ()


def _context_of(row: Row) -> TraceContext:
    return TraceContext.of_run(UUID(row.trace_id), row.trace_parent)


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(
        context.trace_id.int,
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )


def _parent(context: TraceContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_span_context(context)), otel_context.Context())


def _read(context: SpanContext) -> TraceContext:
    return TraceContext(
        UUID(int=context.trace_id),
        f"{context.span_id:016x}",
        int(context.trace_flags) & 0xFF,
        context.trace_state.to_header(),
    )


def instrument(provider: TracerProvider | None = None) -> Tracing:
    """Record spans in this process from now on. A second call changes nothing but where they go."""
    stop()
    tracing = Tracing(provider)
    runtime.declared.trace_source = tracing
    observers.observe(tracing.observe)
    return tracing


def stop() -> None:
    """Record no more spans."""
    source = runtime.declared.trace_source
    if isinstance(source, Tracing):
        runtime.declared.observers.remove(source.observe)
        runtime.declared.trace_source = None
