"""Time on an axis: in order, in its bounds, with idle time folded and work never."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas.diagrams.axis import FOLD_WIDTH, make_axis
from tests.unit.diagrams.conftest import at


def test_time_is_to_scale_where_nothing_is_long() -> None:
    axis = make_axis([at(0), at(1), at(2), at(4)], [(at(0), at(4))], left=100, width=400)
    assert axis.folds == ()
    assert [axis.x(at(s)) for s in (0, 1, 2, 3, 4)] == [100, 200, 300, 400, 500]


def test_a_long_wait_is_folded_and_what_was_done_keeps_its_room() -> None:
    # Given a second of work, three days of waiting, and a second of work
    days = 3 * 86_400
    moments = [at(0), at(1), at(1 + days), at(2 + days)]
    axis = make_axis(moments, [(at(0), at(1)), (at(1 + days), at(2 + days))], left=0, width=500)
    # Then
    (fold,) = axis.folds
    assert (fold.width, fold.length) == (FOLD_WIDTH, timedelta(days=3))
    assert axis.places == pytest.approx((0, 220, 220 + FOLD_WIDTH, 500))


def test_work_is_not_folded_however_long_it_took() -> None:
    axis = make_axis([at(0), at(100_000), at(100_001)], [(at(0), at(100_000))], left=0, width=500)
    assert axis.folds == ()


def test_a_wait_that_is_all_there_is_has_the_whole_axis() -> None:
    axis = make_axis([at(0), at(1000)], [], left=10, width=300)
    assert (axis.places, axis.folds) == ((10, 310), ())


def test_a_single_moment_has_a_place() -> None:
    axis = make_axis([at(0), at(0)], [], left=10, width=300)
    assert axis.x(at(0)) == axis.x(at(5)) == axis.x(at(-5)) == 10


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=60), st.floats(50, 900))
def test_places_are_in_order_and_within_the_axis(spans: list[tuple[float, float]], width: float) -> None:
    busy = [(at(min(span)), at(max(span))) for span in spans]
    axis = make_axis([moment for span in busy for moment in span], busy[::2], left=20, width=width)
    assert all(before <= after + 1e-6 for before, after in pairwise(axis.places))
    assert axis.places[-1] <= 20 + width + 1e-3
    assert axis.places[0] == 20
    for before, after in pairwise(sorted(moment for span in busy for moment in span)):
        assert axis.x(before) <= axis.x(after) + 1e-6
