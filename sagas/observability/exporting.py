"""Spans on their way to a collector: by OTLP over HTTP, in batches, from a thread of their own. Nothing waits for it.

A process that ends sends what it has recorded, within a few seconds. What a full queue has no room for, and what the
collector does not take, is dropped and counted.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from sagas import runtime
from sagas.observability import tracing
from sagas.runtime import SpanCounts

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

#: Seconds for one export with its repeats.
EXPORTS_WITHIN = 5.0
#: Spans that wait for the next batch, at most.
QUEUE = 2048
#: Seconds between two batches.
EVERY = 1.0


class Exporter(SpanExporter):
    """Sends by another exporter, and counts what becomes of the spans."""

    def __init__(self, inner: SpanExporter, counts: SpanCounts) -> None:
        self._inner = inner
        self._counts = counts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            with self._counts.lock:
                if result is SpanExportResult.SUCCESS:
                    self._counts.exported += len(spans)
                else:
                    self._counts.dropped += len(spans)
        return result

    def shutdown(self) -> None:
        """End a repeat that waits."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what the other exporter holds back."""
        return self._inner.force_flush(timeout_millis)


class Processor(BatchSpanProcessor):
    """Hands spans to a thread that sends them in batches. It drops what is too much, and counts it."""

    def __init__(self, exporter: SpanExporter, *, queue: int = QUEUE, every: float = EVERY) -> None:
        self.counts = runtime.declared.spans = SpanCounts()
        # What waited at a fork is the parent's.
        os.register_at_fork(after_in_child=self.counts.reset)
        self._room = queue
        super().__init__(
            Exporter(exporter, self.counts),
            max_queue_size=queue,
            max_export_batch_size=min(512, queue),
            schedule_delay_millis=every * 1000,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, if there is room for it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self.counts.lock:
            self.counts.ended += 1
            if self.counts.waiting > self._room:
                self.counts.dropped += 1
                return
        super().on_end(span)


def install(
    service: str,
    *,
    sampler: Sampler | None = None,
    exporter: SpanExporter | None = None,
) -> TracerProvider:
    """Make the provider of this process, which sends spans by OTLP over HTTP, and record spans of runs from now on.

    A forked child has a queue and a thread of its own, so a worker's main process may call this. The last spans are
    sent at the process' end.

    Args:
        service: ``service.name``, unless ``OTEL_SERVICE_NAME`` or ``OTEL_RESOURCE_ATTRIBUTES`` says otherwise.
        sampler: by default that of ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG``.
        exporter: by default to ``OTEL_EXPORTER_OTLP_ENDPOINT``.
    """
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(Processor(exporter or _otlp()))
    trace.set_tracer_provider(provider)
    atexit.register(tracing.instrument(provider).shut_down)
    return provider


def _otlp() -> SpanExporter:
    # A project may send spans by another exporter, and lack this one.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(timeout=EXPORTS_WITHIN)
