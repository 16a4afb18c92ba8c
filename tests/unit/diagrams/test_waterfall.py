"""The geometry of a waterfall: rows, lanes, bars, lines; bounded whatever the log has."""

from __future__ import annotations

import re

import pytest

from sagas.diagrams import svg, waterfall
from sagas.diagrams.drawing import Drawing, Line, Rect, Text, cut, text_width
from sagas.diagrams.timeline import Facts, build
from sagas.states import State
from tests.unit.diagrams.conftest import History, at, facts


def draw(known: Facts, log: History) -> Drawing:
    return waterfall.layout(known, build(known, log.rows))


def rects(drawing: Drawing, tone: str) -> list[Rect]:
    """Bars of a tone: those in rows, and no waits."""
    return [s for s in drawing.shapes if isinstance(s, Rect) and s.tone == tone and not s.pattern]


def text(drawing: Drawing, said: str) -> Text:
    return next(s for s in drawing.shapes if isinstance(s, Text) and s.text == said)


def undone() -> History:
    """Two steps are done, the deadline passes, and one of them is undone."""
    log = History()
    log.event(0, "start")
    log.row(1, "a forward", took=1)
    log.row(2, "b forward", took=1)
    log.event(30, "expire", "payment")
    log.row(31, "b compensate", took=1)
    return log


def test_the_way_back_is_below_the_way_forward_and_in_reverse_order() -> None:
    drawing = draw(facts(State.COMPENSATING, 32, ahead=("a compensate",)), undone())
    names = [(s.text, s.y) for s in drawing.shapes if isinstance(s, Text) and s.text in {"a", "b"}]
    assert [name for name, _ in sorted(names, key=lambda each: each[1])] == ["a", "b", "b", "a"]
    forward, back = rects(drawing, "good"), rects(drawing, "undo")
    assert max(bar.y for bar in forward) < text(drawing, "the way back").y < min(bar.y for bar in back)
    assert [bar.x for bar in forward] == sorted(bar.x for bar in forward)
    assert all(bar.x < other.x for bar in forward for other in back)


def test_a_run_that_was_not_turned_back_has_no_way_back() -> None:
    log = History()
    log.row(1, "a forward", took=1)
    drawing = draw(facts(State.EXECUTING, 1, ahead=("b forward",)), log)
    assert "the way back" not in [s.text for s in drawing.shapes if isinstance(s, Text)]


def test_idle_time_is_folded_and_says_how_long_it_was() -> None:
    drawing = draw(facts(State.COMPENSATING, 32, ahead=("a compensate",)), undone())
    assert any(isinstance(s, Text) and s.text == "⋯ 0:00:28" for s in drawing.shapes)


def test_what_is_ahead_is_grey_behind_now_and_the_deadline_is_before_what_a_confirmation_begins() -> None:
    log = History()
    log.row(1, "a forward", took=1)
    known = facts(State.EXECUTING, 2, ahead=("b forward", "a confirm", "b confirm"), deadline=at(30))
    drawing = draw(known, log)
    now, deadline = text(drawing, "now").x, text(drawing, "deadline").x
    step, *confirms = rects(drawing, "ahead")
    assert now < step.x < deadline < min(bar.x for bar in confirms)
    assert all(bar.x + bar.width <= drawing.width for bar in confirms)
    assert all("still ahead" in bar.hint for bar in confirms)


def test_a_deadline_that_passed_is_a_line_in_time() -> None:
    log = undone()
    drawing = draw(facts(State.FAILED, 40, ended=True, deadline=at(30)), log)
    line = text(drawing, "deadline").x
    assert rects(drawing, "good")[-1].x < line <= rects(drawing, "undo")[0].x
    assert "now" not in [s.text for s in drawing.shapes if isinstance(s, Text)]


def test_an_attempt_under_way_says_its_age() -> None:
    log = History()
    log.row(1, "a forward", "INTENT")
    drawing = draw(facts(State.EXECUTING, 61), log)
    assert text(drawing, "▶0:01:00").tone == "busy"


@pytest.mark.parametrize(("outcome", "sign"), [("FAULT", "!"), ("REJECTED", "✕"), ("INTENT", "?")])
def test_what_did_not_succeed_is_hollow_and_has_a_sign(outcome: str, sign: str) -> None:
    log = History()
    log.row(1, "a forward", outcome)
    log.event(2, "not_yet", "a")
    drawing = draw(facts(State.EXECUTING, 3), log)
    signs = [s for s in drawing.shapes if isinstance(s, Text) and s.text == sign]
    assert [s.tone for s in signs] == [rect.tone for tone in ("alarm", "bad", "still") for rect in rects(drawing, tone)]
    assert all(rect.is_outline for tone in ("alarm", "bad", "still") for rect in rects(drawing, tone))


def test_attempts_that_cannot_be_told_apart_are_one_bar_with_their_number() -> None:
    log = History()
    for number in range(5):
        log.row(1 + number / 1000, "a forward", "FAULT", attempt=number + 1)
    log.row(100, "b forward", took=50)
    drawing = draw(facts(State.EXECUTING, 100), log)
    assert text(drawing, "!×5").tone == "alarm"
    (bar,) = rects(drawing, "alarm")
    assert bar.hint.startswith("a forward · ×5 · failed")


def test_a_step_that_is_skipped_says_so() -> None:
    drawing = draw(facts(State.EXECUTING, 3, skipped=frozenset({"b"})), History())
    assert text(drawing, "b (skipped)").tone == "quiet"


@pytest.mark.parametrize("count", [500, 2000])
def test_a_long_log_makes_no_larger_drawing_than_can_be_seen(count: int) -> None:
    # Given a run that failed again and again over a month, on both of its steps
    log = History()
    for number in range(count):
        place = "a compensate" if number % 2 else "b compensate"
        log.row(number * 3600 + number % 7, place, "FAULT", took=number % 5, attempt=number)
        log.event(number * 3600 + 1800, "resume")
    known = facts(State.COMPENSATING, count * 3600, ahead=("a compensate",))
    # Then
    drawing = draw(known, log)
    bars = [s for s in drawing.shapes if isinstance(s, Rect)]
    assert len(bars) < 300
    assert len(svg.write(drawing, name="w")) < 60_000
    assert len(drawing.rows) <= waterfall.MOST_BARS + waterfall.MOST_WAITS
    assert all(s.x >= 0 and s.x + s.width <= drawing.width + 1 for s in bars)


def test_everything_is_inside_the_drawing() -> None:
    drawing = draw(facts(State.COMPENSATING, 32, ahead=("a compensate",)), undone())
    for shape in drawing.shapes:
        points = shape.points if isinstance(shape, Line) else ((shape.x, shape.y),)
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points), shape


def test_the_table_has_each_attempt_and_each_wait_in_the_order_of_time() -> None:
    drawing = draw(facts(State.COMPENSATING, 32, ahead=("a compensate",)), undone())
    assert [row[:3] for row in drawing.rows] == [
        ("a", "forward", "done"),
        ("b", "forward", "done"),
        ("run", "", "waits for a confirmation"),
        ("b", "compensate", "done"),
        ("a", "", "waits in the queue"),
    ]
    assert len(drawing.header) == len(drawing.rows[0])
    assert "waits for a confirmation: 0:00:28" in drawing.description


def test_the_svg_is_named_and_described_and_has_nothing_inline() -> None:
    log = undone()
    log.row(40, "<b> & forward", took=1)
    written = svg.write(draw(facts(State.COMPENSATING, 41, ahead=("a compensate",)), log), name="w")
    assert written.startswith('<svg class="saga-drawing" role="img" aria-labelledby="w-title w-desc"')
    assert '<title id="w-title">What happened when</title>' in written
    assert not re.search(r"style=|<style|<script|\son\w+=", written)
    assert "&lt;b&gt;" in written
    assert "<b>" not in written


def test_a_long_name_is_cut_to_its_room() -> None:
    assert cut("short", 100) == "short"
    assert text_width(cut("a_name_of_a_step_that_is_very_long", 100)) <= 100
    assert cut("a_name_of_a_step_that_is_very_long", 100).endswith("…")
