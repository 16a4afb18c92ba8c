"""The waterfall of a run: a row a step, time from left to right, the way forward above the way back. Pure.

Whatever the log has, the drawing is bounded: what lies closer together than can be seen becomes one bar with a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sagas.diagrams.axis import Axis, make_axis
from sagas.diagrams.drawing import Drawing, Line, Rect, Shape, Text, Words, cut, text_width
from sagas.diagrams.timeline import RUNNING, Attempt, Facts, Lane, Mark, Timeline, Wait, WaitKind
from sagas.states import State

WIDTH = 960.0
#: Pixels on the left, for names.
GUTTER = 176.0
_MARGIN = 12.0
ROW = 24.0
_BAR = 14.0
_HEAD = 34.0
#: Above the first row of each way.
_LANE = 20.0
#: No bar is narrower: it would not be seen.
LEAST = 3.0
#: Pixels of an operation that is still ahead, where there is room; and of all of them.
_AHEAD, _AHEAD_GAP, _AHEAD_MOST = 34.0, 5.0, 260.0
#: The most bars of attempts, and of waits. Closer ones are drawn as one.
MOST_BARS, MOST_WAITS = 80, 50
_GAPS = (1.0, 4.0, 8.0, 16.0, 32.0, 64.0, WIDTH)

#: Tones of attempts on the way forward; and a sign behind each that is not simply done.
_TONES = {
    "DONE": "good",
    "REJECTED": "bad",
    "FAULT": "alarm",
    "ACCEPTED": "held",
    "INTENT": "still",
    RUNNING: "busy",
}
_SIGNS = {"REJECTED": "✕", "FAULT": "!", "ACCEPTED": "…", "INTENT": "?", RUNNING: "▶"}
_OUTCOMES = {
    "DONE": "done",
    "REJECTED": "rejected",
    "FAULT": "failed",
    "ACCEPTED": "accepted, with a report to come",
    "INTENT": "begun, without a known answer",
    RUNNING: "under way",
}
_WAITS = {
    WaitKind.QUEUE: "waits in the queue",
    WaitKind.BACKOFF: "waits for its next attempt",
    WaitKind.REPORT: "waits for a report",
    WaitKind.CONFIRMATION: "waits for a confirmation",
    WaitKind.PERSON: "waits for a person",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One or more attempts of a row that are drawn as one; the last of them is the one that counts.

    Attributes:
        x: in pixels.
        width: in pixels.
        attempts: in the order of time.
    """

    x: float
    width: float
    attempts: tuple[Attempt, ...]

    @property
    def end(self) -> float:
        """Where it ends, in pixels."""
        return self.x + self.width

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows from top to bottom, with the upper edge of each, and the height of all."""

    places: dict[tuple[Lane, str], float]
    lanes: dict[Lane, float]
    height: float


def layout(facts: Facts, timeline: Timeline, words: Words = Words()) -> Drawing:  # noqa: B008 - it is frozen
    """Lay out a run's waterfall."""
    rows = _rows(facts, timeline)
    ahead = facts.ahead if facts.finished_at is None else ()
    box = min(_AHEAD, _AHEAD_MOST / max(len(ahead), 1) - 2)
    gap = min(_AHEAD_GAP, box / 3)
    beyond = len(ahead) * (box + gap) + (_AHEAD if facts.deadline and ahead else 0)
    right = WIDTH - _MARGIN - beyond
    axis = _axis(facts, timeline, right)
    bars = merge(axis, timeline.attempts)
    waits = _visible(axis, timeline.waits)
    end = axis.x(facts.end)
    shapes: list[Shape] = [*_ground(facts, rows, words), *_scale(facts, axis, rows, words)]
    shapes += [shape for wait in waits for shape in _wait(axis, rows, wait, words)]
    shapes += [shape for bar in bars for shape in _bar(rows, bar, facts, words)]
    shapes += _marks(axis, rows, timeline.marks, words)
    shapes += _future(facts, rows, end, (box, gap), words)
    if facts.finished_at is None:
        shapes += _moment(end, rows, words.say("now"), "busy", is_dashed=False)
    elif facts.deadline and facts.created_at < facts.deadline < facts.finished_at:
        shapes += _moment(axis.x(facts.deadline), rows, words.say("deadline"), "alarm", is_dashed=True)
    header = ("step", "operation", "what", "begun", "took", "times")
    return Drawing(
        WIDTH,
        rows.height,
        words.say("What happened when"),
        _described(facts, timeline, words),
        tuple(shapes),
        tuple(words.say(each) for each in header),
        tuple(_table(bars, waits, words)),
    )


def _rows(facts: Facts, timeline: Timeline) -> _Rows:
    forward = list(dict.fromkeys([*facts.steps, *(a.step for a in timeline.attempts if a.lane is Lane.FORWARD)]))
    undone = {attempt.step for attempt in timeline.attempts if attempt.lane is Lane.BACK}
    undone |= {wait.step for wait in timeline.waits if wait.lane is Lane.BACK}
    if facts.state is State.COMPENSATING or undone:
        undone |= {each.step for each in facts.ahead if each.operation in {"cancel", "compensate"}}
    known = list(dict.fromkeys([*facts.steps, *sorted(undone)]))
    back = [step for step in reversed(known) if step in undone]
    # A step that only takes a confirmation back has no way forward.
    forward = [s for s in forward if s not in undone or s in facts.before_pivot or _is_done_forward(timeline, s)]
    places = {(Lane.RUN, ""): _HEAD}
    lanes = {}
    y = _HEAD + ROW
    for lane, steps in ((Lane.FORWARD, forward), (Lane.BACK, back)):
        if steps:
            lanes[lane] = y
            y += _LANE
        for step in steps:
            places[lane, step] = y
            y += ROW
    return _Rows(places, lanes, y + _MARGIN)


def _is_done_forward(timeline: Timeline, step: str) -> bool:
    return any(a.step == step and a.lane is Lane.FORWARD for a in timeline.attempts)


def _axis(facts: Facts, timeline: Timeline, right: float) -> Axis:
    moments: list[datetime] = [facts.created_at, facts.end]
    moments += [moment for attempt in timeline.attempts for moment in (attempt.start, attempt.end)]
    moments += [moment for wait in timeline.waits for moment in (wait.start, wait.end)]
    moments += [mark.at for mark in timeline.marks]
    if facts.deadline and facts.created_at < facts.deadline < facts.end:
        moments.append(facts.deadline)
    # A worker's clock may be ahead of the database's by a moment.
    inside = [moment for moment in moments if facts.created_at <= moment <= facts.end]
    busy = [(attempt.start, attempt.end) for attempt in timeline.attempts]
    return make_axis(inside, busy, left=GUTTER, width=right - GUTTER)


# Bars ---------------------------------------------------------------------------------------------------------------


def merge(axis: Axis, attempts: Sequence[Attempt]) -> list[Bar]:
    """One bar for attempts of a row that cannot be told apart, and never more than ``MOST_BARS`` but for one a row."""
    for gap in _GAPS:
        bars = _merge(axis, attempts, gap)
        if len(bars) <= MOST_BARS:
            break
    return bars


def _merge(axis: Axis, attempts: Sequence[Attempt], gap: float) -> list[Bar]:
    rows: dict[tuple[Lane, str], list[Bar]] = {}
    for attempt in attempts:
        x = axis.x(attempt.start)
        bar = Bar(x, max(axis.x(attempt.end) - x, LEAST), (attempt,))
        row = rows.setdefault((attempt.lane, attempt.step), [])
        if row and bar.x < row[-1].end + gap and (min(row[-1].width, bar.width) < 8 or bar.x < row[-1].end):
            before = row[-1]
            row[-1] = Bar(before.x, max(bar.end, before.end) - before.x, (*before.attempts, attempt))
        else:
            row.append(bar)
    return [bar for row in rows.values() for bar in row]


def _bar(rows: _Rows, bar: Bar, facts: Facts, words: Words) -> Iterable[Shape]:
    attempt = bar.last
    y = rows.places[attempt.lane, attempt.step] + (ROW - _BAR) / 2
    tone = "undo" if attempt.lane is Lane.BACK and attempt.outcome == "DONE" else _TONES[attempt.outcome]
    # A failure is hollow, so that it is told from what was done without its colour.
    is_hollow = attempt.outcome in {"FAULT", "REJECTED", "INTENT"}
    yield Rect(bar.x, y, bar.width, _BAR, tone, is_outline=is_hollow, hint=_hint(bar, words))
    said = f"×{len(bar.attempts)}" if len(bar.attempts) > 1 else ""
    if attempt.outcome == RUNNING:
        said = f"{said} {words.span(facts.now - attempt.start)}".strip()
    if sign := f"{_SIGNS.get(attempt.outcome, '')}{said}":
        yield Text(bar.end + 3, y + _BAR - 3, sign, tone, size=10, is_bold=True)


def _hint(bar: Bar, words: Words) -> str:
    first, last = bar.attempts[0], bar.last
    parts = [
        f"{last.step} {words.say(last.operation)}",
        words.say(_OUTCOMES[last.outcome]),
        words.clock(first.start),
        words.span(last.end - first.start),
    ]
    if len(bar.attempts) > 1:
        parts.insert(1, f"×{len(bar.attempts)}")
    return " · ".join(parts)


# Waits --------------------------------------------------------------------------------------------------------------


def _visible(axis: Axis, waits: Sequence[Wait]) -> list[Wait]:
    """Those that are wide enough to be seen: the longest, if they are many."""
    seen = [wait for wait in waits if axis.x(wait.end) - axis.x(wait.start) >= 2]
    if len(seen) > MOST_WAITS:
        longest = sorted(seen, key=lambda wait: wait.end - wait.start, reverse=True)[:MOST_WAITS]
        seen = sorted(longest, key=lambda wait: wait.start)
    return seen


def _wait(axis: Axis, rows: _Rows, wait: Wait, words: Words) -> Iterable[Shape]:
    y = rows.places.get((wait.lane, wait.step))
    if y is None:
        return
    x = axis.x(wait.start)
    tone = {WaitKind.BACKOFF: "alarm", WaitKind.PERSON: "bad", WaitKind.QUEUE: "still"}.get(wait.kind, "held")
    said = " · ".join(
        filter(
            None, [wait.step, words.say(_WAITS[wait.kind]), words.clock(wait.start), words.span(wait.end - wait.start)]
        )
    )
    inset = 7.0
    yield Rect(
        x,
        y + inset,
        axis.x(wait.end) - x,
        ROW - 2 * inset,
        tone,
        pattern=wait.kind.value,
        is_dashed=True,
        radius=0,
        hint=said,
    )


# Events, scale and ground -------------------------------------------------------------------------------------------


def _marks(axis: Axis, rows: _Rows, marks: Sequence[Mark], words: Words) -> list[Shape]:
    """Dots on the run's row; those that would cover each other are one."""
    y = rows.places[Lane.RUN, ""] + ROW / 2
    groups: list[list[Mark]] = []
    for mark in marks:
        if groups and axis.x(mark.at) - axis.x(groups[-1][0].at) < 9:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    shapes: list[Shape] = []
    for group in groups:
        x = axis.x(group[0].at)
        said = "; ".join(
            " ".join(filter(None, [words.say(m.name), m.step, f"({m.by})" if m.by else "", words.clock(m.at)]))
            for m in group[:6]
        )
        shapes.append(Rect(x - 5, y - 5, 10, 10, "text", hint=said, radius=5))
    return shapes


def _ground(facts: Facts, rows: _Rows, words: Words) -> Iterable[Shape]:
    for lane, y in rows.lanes.items():
        named = "forward" if lane is Lane.FORWARD else "back"
        yield Text(_MARGIN / 2, y + 14, words.say(f"the way {named}"), "quiet", size=10, is_bold=True)
        yield Line(((0, y + 2), (WIDTH, y + 2)), "line")
    for (lane, step), y in rows.places.items():
        if lane is Lane.RUN:
            yield Text(_MARGIN / 2, y + 16, words.say("run"), is_bold=True)
            continue
        is_skipped = step in facts.skipped
        said = f"{step} ({words.say('skipped')})" if is_skipped else step
        yield Text(_MARGIN, y + 16, cut(said, GUTTER - 2 * _MARGIN), "quiet" if is_skipped else "text")
        yield Line(((GUTTER, y + ROW / 2), (WIDTH - _MARGIN, y + ROW / 2)), "line")


def _scale(facts: Facts, axis: Axis, rows: _Rows, words: Words) -> Iterable[Shape]:
    """When it began, how long later the rest was, and what is folded."""
    for fold in axis.folds:
        yield Rect(fold.x + 2, _HEAD - 6, fold.width - 4, rows.height - _HEAD, "surface", radius=0)
        yield Text(
            fold.x + fold.width / 2, _HEAD - 10, f"⋯ {words.span(fold.length)}", "quiet", anchor="middle", size=9
        )
    yield Text(axis.places[0], 11, words.clock(facts.created_at), "quiet", size=10)
    free = axis.places[0] + text_width(words.clock(facts.created_at)) + 20
    taken = [(fold.x - 30, fold.x + fold.width + 30) for fold in axis.folds]
    for moment, x in zip(axis.moments, axis.places, strict=True):
        said = f"+{words.span(moment - facts.created_at)}"
        if x < free or any(start <= x <= end for start, end in taken) or x > axis.places[-1] - 50:
            continue
        yield Text(x, _HEAD - 10, said, "quiet", size=9, anchor="middle")
        free = x + text_width(said) + 60


def _moment(x: float, rows: _Rows, said: str, tone: str, *, is_dashed: bool) -> list[Shape]:
    return [
        Line(((x, 14), (x, rows.height - 4)), tone, is_dashed=is_dashed),
        Text(x, 11, said, tone, anchor="middle", size=10, is_bold=True),
    ]


def _future(facts: Facts, rows: _Rows, x: float, sizes: tuple[float, float], words: Words) -> list[Shape]:
    """What is ahead, in grey, not to scale; the deadline is where the run must have its confirmation."""
    box, gap = sizes
    if facts.finished_at is not None:
        return []
    shapes: list[Shape] = []
    has_deadline = facts.deadline is None
    x += 8
    for each in facts.ahead:
        if not has_deadline and each.state is State.CONFIRMING:
            shapes += _deadline(facts, x + _AHEAD / 2, rows, words)
            x, has_deadline = x + _AHEAD, True
        lane = Lane.BACK if each.operation in {"cancel", "compensate"} else Lane.FORWARD
        if (y := rows.places.get((lane, each.step))) is not None:
            hint = f"{each.step} {words.say(each.operation)} · {words.say('still ahead')}"
            shapes.append(Rect(x, y + (ROW - _BAR) / 2, box, _BAR, "ahead", is_dashed=True, hint=hint))
        x += box + gap
    if not has_deadline:
        shapes += _deadline(facts, min(x + 6, WIDTH - _MARGIN), rows, words)
    return shapes


def _deadline(facts: Facts, x: float, rows: _Rows, words: Words) -> list[Shape]:
    assert facts.deadline is not None  # the callers have looked
    return _moment(x, rows, words.say("deadline"), "alarm", is_dashed=True)


# The same in words --------------------------------------------------------------------------------------------------


def _described(facts: Facts, timeline: Timeline, words: Words) -> str:
    waited = [
        f"{words.say(_WAITS[kind])}: {words.span(length)}"
        for kind in WaitKind
        if (length := timeline.longest(kind)) >= timedelta(milliseconds=1)
    ]
    took = words.span(facts.end - facts.created_at)
    return f"{words.say('A row for each step, and time from left to right.')} {took}. {'; '.join(waited)}".strip()


def _table(bars: Sequence[Bar], waits: Sequence[Wait], words: Words) -> Iterable[tuple[str, ...]]:
    lines: list[tuple[datetime, tuple[str, ...]]] = []
    for bar in bars:
        first, last = bar.attempts[0], bar.last
        times = str(len(bar.attempts))
        said = (last.step, words.say(last.operation), words.say(_OUTCOMES[last.outcome]))
        lines.append((first.start, (*said, words.clock(first.start), words.span(last.end - first.start), times)))
    for wait in waits:
        length = words.span(wait.end - wait.start)
        lines.append(
            (
                wait.start,
                (wait.step or words.say("run"), "", words.say(_WAITS[wait.kind]), words.clock(wait.start), length, ""),
            )
        )
    return (line for _, line in sorted(lines, key=lambda each: each[0]))


def texts() -> tuple[str, ...]:
    """Every text that a waterfall may say, for its translators, but for names of operations and events."""
    fixed = (
        *("now", "deadline", "run", "skipped", "still ahead", "the way forward", "the way back"),
        *("what", "step", "operation", "begun", "took", "times", "What happened when"),
        "A row for each step, and time from left to right.",
    )
    return (*fixed, *_OUTCOMES.values(), *_WAITS.values())
