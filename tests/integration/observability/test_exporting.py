"""Spans on their way to a collector: nothing waits for it, and what is lost is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from sagas import runtime, trace_context
from sagas.observability import tracing
from sagas.observability.exporting import Processor
from sagas.states import State
from sagas.trace_context import parse
from tests.conftest import SharedWorkers
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.otlp import Collector, collector
from tests.support.runs import await_states
from tests.support.workers import Worker


@pytest.fixture
def otlp() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    with runtime.apart():
        yield


def exporting(url: str, *, queue: int = 2048) -> tuple[TracerProvider, Processor]:
    provider = TracerProvider(shutdown_on_exit=False)
    processor = Processor(OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=0.5), queue=queue, every=0.01)
    provider.add_span_processor(processor)
    return provider, processor


def test_all_spans_of_a_process_that_ends_are_sent(otlp: Collector) -> None:
    provider, processor = exporting(otlp.url)
    for n in range(1000):
        provider.get_tracer("test").start_span(f"span {n}").end()
    tracing.Tracing(provider).shut_down()
    assert {span.name for span in otlp.spans} == {f"span {n}" for n in range(1000)}
    assert (processor.counts.ended, processor.counts.exported, processor.counts.dropped) == (1000, 1000, 0)


def test_a_collector_that_does_not_answer_holds_nobody_up_and_what_is_too_much_is_counted(otlp: Collector) -> None:
    # Given a collector that takes requests, and answers none
    otlp.hold = threading.Event()
    provider, processor = exporting(otlp.url, queue=50)

    # When more spans end than the queue has room for, and the process ends
    for n in range(1000):
        provider.get_tracer("test").start_span(f"span {n}").end()
    tracing.Tracing(provider).shut_down()

    # Then this line is reached, for the collector still holds its answers
    assert not otlp.hold.is_set()
    assert processor.counts.ended == 1000
    assert processor.counts.dropped >= 1000 - 2 * 50
    assert processor.counts.exported == 0


@pytest.mark.parametrize("broken", ["away", "refusing"])
def test_what_the_collector_does_not_take_is_counted(otlp: Collector, broken: str) -> None:
    otlp.status = 400
    url = otlp.url if broken == "refusing" else "http://127.0.0.1:9"
    provider, processor = exporting(url)
    for n in range(10):
        provider.get_tracer("test").start_span(f"span {n}").end()
    provider.shutdown()
    assert (processor.counts.ended, processor.counts.dropped, processor.counts.waiting) == (10, 10, 0)


def test_a_forked_child_counts_its_own(otlp: Collector) -> None:
    _, processor = exporting(otlp.url)
    processor.counts.ended = 5
    processor.counts.reset()
    assert processor.counts.waiting == 0


@pytest.mark.slow
def test_children_that_are_recycled_lose_no_span(
    otlp: Collector, database: None, shared_workers: SharedWorkers
) -> None:
    # Given a worker whose children end after two tasks
    shared_workers.stop()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "LAB_SAGAS": '{"CELERY": {"worker_max_tasks_per_child": 2}}',
    }
    worker = Worker(environment=environment).await_ready()
    try:
        # When it has performed sampled runs, one after the other
        for n in range(1, 6):
            with trace_context.use(parse(f"00-{n:032x}-00f067aa0ba902b7-01")):
                run_id = Unconfirmed.start(Experiment())
            await_states([run_id], State.SUCCEEDED)
    finally:
        worker.stop()

    # Then the spans of all operations have come, of more than one child
    told = [(int(span.trace_id, 16), span.name) for span in otlp.spans if span.scope == "sagas"]
    assert sorted(told) == [(n, name) for n in range(1, 6) for name in ("one.forward", "two.forward")]
    assert {span.service for span in otlp.spans} == {"drinkgroup"}
