"""When a breaker opens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas.decisions.breaker_policy import Rule, Sample, Window, opens, windows

RULE = Rule(operations=100, minimum=5, rate=0.15, window=60.0, windows=3)


def judge(*samples: Sample, rule: Rule = RULE) -> bool:
    return opens(windows(samples, rule), rule)


BAD = (Sample(5, 4, 1), Sample(65, 4, 1), Sample(125, 4, 1))


def test_three_failing_windows_in_a_row_open_a_breaker() -> None:
    assert judge(*BAD)
    assert windows(BAD, RULE) == [Window(5, 1)] * 3


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ((), "nothing was retried"),
        (BAD[:2], "the third window was quiet"),
        (BAD[1:], "it is quiet now"),
        ((BAD[0], replace(BAD[1], succeeded=6), BAD[2]), "one window was below the rate"),
        ((BAD[0], Sample(65, 0, 4), BAD[2]), "one window has too few to say anything"),
        ((BAD[0], BAD[1], replace(BAD[2], age=180)), "the third is too long ago"),
    ],
)
def test_a_breaker_stays_closed(samples: tuple[Sample, ...], why: str) -> None:
    assert not judge(*samples), why


def test_a_rate_at_the_threshold_counts_as_failing() -> None:
    rule = replace(RULE, windows=1)
    assert judge(Sample(1, 17, 3), rule=rule)
    assert not judge(Sample(1, 86, 15 - 1), rule=rule)


def test_the_last_operations_of_a_window_count() -> None:
    rule = replace(RULE, windows=1)
    mended = [Sample(30 + n, 0, 10) for n in range(10)] + [Sample(n, 10, 0) for n in range(10)]
    assert windows(mended, rule) == [Window(100, 0)]
    assert not judge(*mended, rule=rule)


def test_a_sample_from_a_fast_clock_counts_as_present() -> None:
    assert windows([Sample(-0.5, 1, 1)], RULE)[0] == Window(2, 1)


SAMPLES = st.lists(st.builds(Sample, st.floats(0, 400), st.integers(0, 20), st.integers(0, 20)), max_size=40)
RULES = st.builds(
    lambda operations, minimum, rate, window, count: Rule(
        operations=operations, minimum=min(minimum, operations), rate=rate, window=window, windows=count
    ),
    st.integers(1, 200),
    st.integers(1, 20),
    st.floats(0.01, 1),
    st.floats(0.5, 120),
    st.integers(1, 5),
)


@given(SAMPLES, RULES)
def test_a_breaker_never_opens_without_failures_or_with_an_empty_window(samples: list[Sample], rule: Rule) -> None:
    counted = windows(samples, rule)
    assert len(counted) == rule.windows
    if opens(counted, rule):
        assert all(window.failed > 0 for window in counted)
    assert not judge(*(replace(sample, failed=0) for sample in samples), rule=rule)


@given(SAMPLES, RULES)
def test_more_failures_of_the_same_operations_never_keep_a_breaker_closed(samples: list[Sample], rule: Rule) -> None:
    worse = [Sample(s.age, 0, s.succeeded + s.failed) for s in samples]
    if judge(*samples, rule=rule):
        assert judge(*worse, rule=rule)


@given(SAMPLES, RULES)
def test_no_window_counts_more_samples_than_exist(samples: list[Sample], rule: Rule) -> None:
    for index, window in enumerate(windows(samples, rule)):
        mine = [s for s in samples if int(s.age // rule.window) == index]
        assert window.failed <= sum(s.failed for s in mine)
        assert window.retried <= sum(s.failed + s.succeeded for s in mine)
        assert window.failed <= window.retried
