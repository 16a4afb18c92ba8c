"""Which spans the shop records, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector."""

from __future__ import annotations

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor

from sagas.observability import exporting

#: Probes and scrapes come all the time, and nobody reads their spans.
_NOT = "healthz,readyz,metrics"


def record() -> None:
    """Record spans of requests, of tasks and of runs.

    Not of SQL statements and commands of Redis: they would be most of the spans, and cost the most. Without a meter
    provider, Celery's instrumentation keeps no histogram, which would have a label for each worker.
    """
    provider = exporting.install("drinkgroup")
    DjangoInstrumentor().instrument(tracer_provider=provider, excluded_urls=_NOT)
    # Without ``use_span_links``, which cuts traces into pieces.
    CeleryInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]  # it ships no types
