"""W3C Trace Context: what is read, what is ignored, and what is passed on."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas import runtime, trace_context
from sagas.trace_context import STATE_LIMIT, TraceContext, parse

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_traceparent_is_read_and_written() -> None:
    read = parse(PARENT, "congo=t61rcWkgMzE")
    assert read == TraceContext(UUID(TRACE), "00f067aa0ba902b7", 1, "congo=t61rcWkgMzE")
    assert read.sampled
    assert read.traceparent == PARENT


def test_one_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    read = parse(f"01-{TRACE}-00f067aa0ba902b7-00-more")
    assert read is not None
    assert not read.sampled
    assert read.traceparent == f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT.upper(),
        f"{PARENT}-more",
        f"ff{PARENT[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7-0x",
        PARENT.replace("4", "\N{FULLWIDTH DIGIT FOUR}"),
        f"{PARENT}\n",
    ],
)
def test_a_malformed_one_is_ignored_and_counted(header: str) -> None:
    with runtime.apart():
        assert trace_context.receive(header) is None
        assert trace_context.current() is None
        assert runtime.memory.malformed_traces == 1


def test_a_request_without_one_forgets_that_of_the_request_before() -> None:
    with runtime.apart():
        trace_context.receive(PARENT)
        assert trace_context.current() == parse(PARENT)
        trace_context.receive(None)
        assert trace_context.current() is None
        assert runtime.memory.malformed_traces == 0


@pytest.mark.parametrize("state", ["x" * (STATE_LIMIT + 1), "a=\x00", "a=\u00e9"])
def test_a_tracestate_that_cannot_be_passed_on_is_dropped_alone(state: str) -> None:
    read = parse(PARENT, state)
    assert read is not None
    assert read.state == ""


@given(
    st.builds(
        TraceContext,
        st.uuids().filter(lambda each: each.int),
        st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}"),
        st.integers(0, 255),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=STATE_LIMIT),
    )
)
def test_what_a_run_keeps_is_what_it_was_started_in(context: TraceContext) -> None:
    assert TraceContext.of_run(context.trace_id, context.stored) == context
    assert parse(context.traceparent, context.state) == context


def test_a_run_that_was_started_outside_any_trace_has_one_that_is_not_sampled() -> None:
    own = TraceContext.of_run(UUID(TRACE), None)
    assert own.traceparent == f"00-{TRACE}-a3ce929d0e0e4736-00"
    assert parse(own.traceparent) == own


def test_the_context_of_a_run_ends_with_its_call() -> None:
    with trace_context.use(parse(PARENT)):
        with trace_context.of_call(str(UUID(int=5)), "00f067aa0ba902b7-00"):
            assert trace_context.current() == TraceContext(UUID(int=5), "00f067aa0ba902b7")
        assert trace_context.current() == parse(PARENT)
