"""The policy of trying again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas.definition.retry import Again, GiveUp, Retry
from sagas.errors import DefinitionError


class Boom(Exception):
    """What broke."""


class Worse(Boom):
    """A kind of it."""


delays = st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=1))
policies = st.builds(
    lambda delay, more, **others: Retry(delay=delay, max_delay=delay + more, **others),
    delay=delays,
    more=delays,
    attempts=st.integers(1, 1000),
    factor=st.floats(1, 1e12),
    jitter=st.floats(0, 1),
)


@given(policies, st.integers(1, 2000))
def test_a_policy_gives_up_after_the_last_attempt_and_not_before(retry: Retry, attempt: int) -> None:
    assert isinstance(retry.decide(attempt, Boom()), GiveUp) is (attempt >= retry.attempts)


@given(policies, st.integers(1, 2000), st.sampled_from([Boom, Worse]))
def test_an_error_that_is_never_retried_gives_up_at_once(retry: Retry, attempt: int, kind: type[Boom]) -> None:
    assert isinstance(replace(retry, never=(KeyError, Boom)).decide(attempt, kind()), GiveUp)
    # Its kind only, not what it is a kind of
    assert replace(retry, never=(Worse,)).decide(attempt, Boom(), spread=0) == retry.decide(attempt, Boom(), spread=0)


@given(policies, st.integers(1, 999), st.floats(-1, 1))
def test_a_wait_is_never_negative_and_at_most_the_longest_and_its_jitter(
    retry: Retry, attempt: int, spread: float
) -> None:
    decision = retry.decide(attempt, Boom(), spread=spread)
    if isinstance(decision, Again):
        most = retry.max_delay.total_seconds() * (1 + retry.jitter)
        assert 0 <= decision.after.total_seconds() <= most + 1e-5


@given(policies, st.integers(1, 998))
def test_waits_grow(retry: Retry, attempt: int) -> None:
    first, second = retry.decide(attempt, Boom(), spread=0), retry.decide(attempt + 1, Boom(), spread=0)
    if isinstance(first, Again) and isinstance(second, Again):
        assert first.after <= second.after


@given(policies)
def test_the_first_wait_is_the_delay(retry: Retry) -> None:
    first = retry.decide(1, Boom(), spread=0)
    if isinstance(first, Again):
        assert abs(first.after - retry.delay) <= timedelta(microseconds=1)


@given(policies, st.integers(1, 999))
def test_the_jitter_stays_within_its_fraction(retry: Retry, attempt: int) -> None:
    low, middle, high = (retry.decide(attempt, Boom(), spread=spread) for spread in (-1, 0, 1))
    if isinstance(low, Again) and isinstance(middle, Again) and isinstance(high, Again):
        part = middle.after.total_seconds() * retry.jitter
        assert (middle.after - low.after).total_seconds() == pytest.approx(part, abs=1e-5)
        assert (high.after - middle.after).total_seconds() == pytest.approx(part, abs=1e-5)
        random = retry.decide(attempt, Boom())
        assert isinstance(random, Again)
        assert low.after <= random.after <= high.after


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"delay": timedelta(seconds=-1)},
        {"delay": timedelta(minutes=2)},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"factor": float("inf")},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": float("nan")},
        {"never": ValueError},
        {"never": ("ValueError",)},
        {"never": (KeyboardInterrupt,)},
        {"never": (ValueError(),)},
    ],
    ids=str,
)
def test_an_invalid_policy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=f"Retry.*{next(iter(wrong))}"):
        Retry(**wrong)
