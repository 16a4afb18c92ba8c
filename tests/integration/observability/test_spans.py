"""Spans of runs: written after the commit, in the trace of the start, and only where it is sampled."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connection, transaction
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode

import sagas
from sagas import State, runtime, trace_context
from sagas.models import Run
from sagas.observability import tracing
from sagas.observability.tracing import LINKS
from sagas.trace_context import TraceContext, parse
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.carrier import Carrier
from tests.support.runs import shift_clock, state, story

pytestmark = pytest.mark.usefixtures("alone")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = parse(f"00-{TRACE}-00f067aa0ba902b7-01", "vendor=1")
NOT_SAMPLED = parse(f"00-{TRACE}-00f067aa0ba902b7-00")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """Where the engine's spans go."""
    monkeypatch.setattr(runtime.declared, "observers", [])
    monkeypatch.setattr(runtime.declared, "trace_source", None)
    made = TracerProvider()
    tracing.instrument(made)
    yield made
    tracing.stop()


@pytest.fixture
def exporter(provider: TracerProvider) -> InMemorySpanExporter:
    kept = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return kept


def start(context: TraceContext | None, request: Experiment | None = None, saga: type = Unconfirmed) -> UUID:
    with trace_context.use(context):
        run_id: UUID = sagas.start(saga, request or Experiment())
    return run_id


def names_of(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_run_has_a_span_for_each_operation_in_the_trace_of_its_start(exporter: InMemorySpanExporter) -> None:
    # Given
    Jar.objects.create(name="traced", available=5)
    run_id = start(SAMPLED, Experiment(jar="traced"), Lab)

    # When
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])

    # Then
    spans = exporter.get_finished_spans()
    told = [line.removesuffix(" DONE") for line in story(run_id)[1:]]
    at = told.index("confirmation")
    assert names_of(exporter) == [*told[:at], "await approval", "confirmation approval", *told[at + 1 :]]
    for span in spans:
        assert span.context is not None
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == TRACE
        assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
        assert span.context.trace_state.get("vendor") == "1"
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
    first = attributes(spans[0])
    assert first == {
        "sagas.saga": "lab.Lab",
        "sagas.run.id": str(run_id),
        "sagas.step": told[0].split(".")[0],
        "sagas.operation": told[0].split(".")[1],
        "sagas.outcome": "DONE",
        "sagas.attempt": 1,
        "sagas.cohort.size": 1,
    }
    assert attributes(spans[-1])["sagas.state"] == "SUCCEEDED"


def test_a_run_that_is_not_sampled_never_reaches_opentelemetry(
    exporter: InMemorySpanExporter, provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = runtime.declared.trace_source
    assert isinstance(source, tracing.Tracing)
    monkeypatch.setattr(source, "_tracer", None)
    run_id = start(NOT_SAMPLED)
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert names_of(exporter) == []


def test_a_deadline_and_the_undo_behind_it_join_the_trace(exporter: InMemorySpanExporter) -> None:
    run_id = start(SAMPLED, saga=Lab)
    Carrier().run([run_id])
    shift_clock([run_id], 60)
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    told = names_of(exporter)
    assert "await approval" in told
    assert "expire approval" in told
    assert [name for name in told if name.endswith((".compensate", ".cancel"))]


def test_a_fault_and_the_escalation_are_errors_without_their_text(exporter: InMemorySpanExporter) -> None:
    run_id = start(SAMPLED, Experiment(reject=("two",), faults={"one.compensate": 99}))
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    last = exporter.get_finished_spans()[-1]
    assert last.status.status_code is StatusCode.ERROR
    assert attributes(last)["sagas.state"] == "ESCALATED"
    assert "one.compensate" not in str([span.status.description for span in exporter.get_finished_spans()])


def test_nothing_is_told_of_what_is_rolled_back(exporter: InMemorySpanExporter) -> None:
    run_id = start(SAMPLED)
    with pytest.raises(RuntimeError), transaction.atomic():
        sagas.cancel(run_id)
        raise RuntimeError
    assert names_of(exporter) == []


def test_a_run_outside_any_trace_begins_one_as_the_sampler_says(exporter: InMemorySpanExporter) -> None:
    # Given a sampler that takes all
    run_id = start(None)
    run = Run.objects.get(pk=run_id)
    (begun,) = exporter.get_finished_spans()
    assert (begun.name, begun.parent) == ("start", None)
    assert begun.context is not None
    assert TraceContext.of_run(run.trace_id, run.trace_parent) == TraceContext(
        UUID(int=begun.context.trace_id), f"{begun.context.span_id:016x}", int(begun.context.trace_flags)
    )
    # When it goes on
    Carrier().run([run_id])
    # Then its spans are children of that
    assert {span.parent.span_id for span in exporter.get_finished_spans()[1:] if span.parent} == {begun.context.span_id}


def test_the_span_of_a_start_that_is_rolled_back_is_none(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        start(None)
        raise RuntimeError
    assert names_of(exporter) == []


def test_a_sampler_that_takes_none_has_runs_that_are_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.declared, "observers", [])
    monkeypatch.setattr(runtime.declared, "trace_source", None)
    tracing.instrument(TracerProvider(sampler=ParentBased(ALWAYS_OFF)))
    run = Run.objects.get(pk=start(None))
    assert run.trace_parent is not None
    assert not TraceContext.of_run(run.trace_id, run.trace_parent).sampled


def test_a_run_joins_the_span_in_which_it_is_started(exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
    with provider.get_tracer("shop").start_as_current_span("checkout") as span:
        run = Run.objects.get(pk=start(None))
    context = span.get_span_context()
    assert run.trace_id.int == context.trace_id
    assert run.trace_parent == f"{context.span_id:016x}-{int(context.trace_flags):02x}"


def test_the_task_of_a_cohort_is_linked_to_its_sampled_runs(
    exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    # Given more runs than a span has links for, and some that are not sampled
    sampled = [start(parse(f"00-{n:032x}-00f067aa0ba902b7-01")) for n in range(1, LINKS + 10)]
    others = [start(NOT_SAMPLED) for _ in range(3)]

    # When all are performed in one task
    with provider.get_tracer("celery").start_as_current_span("run/sagas.step", context=otel_context.Context()) as task:
        Carrier().run([*sampled, *others])

    # Then
    assert isinstance(task, ReadableSpan)
    linked = [link.context.trace_id for link in task.links]
    assert len(linked) == len(set(linked)) == LINKS
    assert int(TRACE, 16) not in linked
    steps = [span for span in exporter.get_finished_spans() if span.name != "run/sagas.step"]
    assert len(steps) == 2 * len(sampled)
    assert max(int(str(attributes(span)["sagas.cohort.size"])) for span in steps) == len(sampled) + len(others)


def test_a_confirmation_is_linked_to_the_request_that_brought_it(
    exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    run_id = start(SAMPLED, saga=Lab)
    Carrier().run([run_id])
    with provider.get_tracer("shop").start_as_current_span("POST payment") as request:
        sagas.confirm(run_id, "approval", {})
    (confirmation,) = (span for span in exporter.get_finished_spans() if span.name == "confirmation approval")
    assert [link.context for link in confirmation.links] == [request.get_span_context()]


def test_spans_have_nothing_of_the_request_or_its_results(exporter: InMemorySpanExporter) -> None:
    run_id = start(SAMPLED, Experiment(jar="secret-jar", faults={"one.forward": 1}))
    Carrier().run([run_id])
    assert exporter.get_finished_spans()
    assert "secret-jar" not in str([span.to_json() for span in exporter.get_finished_spans()])


def test_no_span_is_current_where_none_is_recorded() -> None:
    assert not trace.get_current_span().get_span_context().is_valid


def test_instrumentations_of_the_driver_and_of_redis_double_no_span(
    exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    # Given both, as a project may have them
    others = (Psycopg2Instrumentor(), RedisInstrumentor())
    for other in others:
        other.instrument(tracer_provider=provider)
    connection.close()
    try:
        # When a run is performed in a task
        run_id = start(SAMPLED)
        with provider.get_tracer("celery").start_as_current_span("run/sagas.step", context=otel_context.Context()):
            Carrier().run([run_id])
    finally:
        for other in others:
            other.uninstrument()
        connection.close()

    # Then the run's trace has its operations once, and theirs are in that of the task
    (task,) = (span for span in exporter.get_finished_spans() if span.name == "run/sagas.step")
    assert task.context is not None
    of_run = [s.name for s in exporter.get_finished_spans() if s.context and f"{s.context.trace_id:032x}" == TRACE]
    assert of_run == ["one.forward", "two.forward"]
