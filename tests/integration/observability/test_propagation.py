"""Everything that becomes of a run joins the trace in which it was started. No recorder of spans is needed for that."""

from __future__ import annotations

import pytest
from django.db import connection

import sagas
from sagas import State, trace_context
from sagas.models import Outbox, Run
from sagas.store import outbox
from sagas.trace_context import TraceContext, parse
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Parent, Telling, Unconfirmed
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CONTEXT = parse(f"00-{TRACE}-00f067aa0ba902b7-01", "vendor=1")


def context_of(run: Run) -> TraceContext:
    return TraceContext.of_run(run.trace_id, run.trace_parent)


def test_a_run_keeps_the_context_in_which_it_was_started() -> None:
    with trace_context.use(CONTEXT):
        run_id = sagas.start(Unconfirmed, Experiment())
    assert context_of(Run.objects.get(pk=run_id)) == CONTEXT


def test_a_run_that_was_started_outside_any_trace_has_one_of_its_own() -> None:
    one, two = (Run.objects.get(pk=sagas.start(Unconfirmed, Experiment())) for _ in range(2))
    assert one.trace_id != two.trace_id
    assert (one.trace_parent, context_of(one).sampled) == (None, False)


def test_a_child_joins_the_trace_of_its_parent() -> None:
    Jar.objects.create(name="child", available=5)
    with trace_context.use(CONTEXT):
        run_id = sagas.start(Parent, Experiment(jar="child"))
    Carrier().run([run_id])
    children = Run.objects.filter(parent_id=run_id)
    assert {context_of(child) for child in children} == {CONTEXT}


def test_the_events_of_a_run_have_its_context() -> None:
    # Given
    with trace_context.use(CONTEXT):
        run_id = sagas.start(Telling, Experiment())

    # When
    Carrier().run([run_id])

    # Then
    assert Outbox.objects.filter(run_id=run_id).count() > 1
    events = [waiting.event for waiting in outbox.read([run_id])[run_id]]
    assert {event.trace for event in events} == {CONTEXT}


def test_a_run_of_the_statement_of_a_caller_keeps_it_too() -> None:
    with trace_context.use(CONTEXT):
        start = sagas.start_sql(Lab, Experiment())
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {start.ctes} SELECT id FROM sagas_started", start.params)  # noqa: S608 - as an application does
    assert context_of(Run.objects.get(pk=start.run_id)) == CONTEXT
    assert state(start.run_id) is State.PENDING
