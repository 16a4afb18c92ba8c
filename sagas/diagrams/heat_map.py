"""Lays out a heat map: time across, rows down, a cell for each part. Pure, and without words of its own.

Heat is told by a colour, and by what is written in the cell; faults by a bar at a cell's foot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagas.diagrams.drawing import Drawing, Line, Rect, Shape, Text, cut

#: Pixels: the names' column, a cell, and a lane of marks.
NAMES, CELL_WIDTH, CELL_HEIGHT, LANE = 190.0, 28.0, 24.0, 18.0
#: From this share of the time on, words stand on the left of what they are about.
_LATE = 0.7
#: Of each level of heat: the tone of the cell, and of what is written in it.
HEAT = (("surface", "quiet"), ("warm", "text"), ("hot", "text"), ("undo", "ink"), ("bad", "ink"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One part of the time in one row.

    Attributes:
        part: which part, from 0.
        heat: how hot, a place in ``HEAT``.
        text: three or four letters.
        hint: all of it, in words.
        href: where a click leads.
        has_faults: whether something broke.
    """

    part: int
    heat: int
    text: str
    hint: str
    href: str
    has_faults: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One stage."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was so for a while, in parts of the time: a bar in a lane of its own."""

    begin: float
    end: float
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Lane:
    """Spans of one kind."""

    name: str
    tone: str
    pattern: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened at once: a dashed line through all rows."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Map:
    """What is drawn.

    Attributes:
        title: its name.
        description: what it shows.
        parts: how many parts the time has.
        times: what is written above which part.
        groups: one above the other.
        lanes: above the cells; those without spans are left out.
        moments: lines.
        moments_name: what these are.
    """

    title: str
    description: str
    parts: int
    times: Sequence[tuple[int, str]]
    groups: Sequence[Group]
    lanes: Sequence[Lane]
    moments: Sequence[Moment]
    moments_name: str


def layout(drawn: Map) -> Drawing:
    """Place everything."""
    shapes: list[Shape] = []
    width = NAMES + drawn.parts * CELL_WIDTH + 10
    y = 6.0
    for lane in drawn.lanes:
        if lane.spans:
            shapes += _lane(lane, y, drawn.parts)
            y += LANE
    if drawn.moments:
        shapes.append(Text(0, y + 12, cut(drawn.moments_name, NAMES), "quiet"))
        top = y
        y += LANE
    shapes += [Text(_x(part), y + 12, text, "quiet", size=10) for part, text in drawn.times]
    y += LANE
    for group in drawn.groups:
        if not group.rows:
            continue
        shapes.append(Text(0, y + 14, group.title, "text", is_bold=True))
        shapes.append(Line(((NAMES, y + 10), (width - 10, y + 10)), "line"))
        y += LANE + 2
        for row in group.rows:
            shapes.append(Text(0, y + 16, cut(row.name, NAMES - 8)))
            for cell in row.cells:
                shapes += _cell(cell, y)
            y += CELL_HEIGHT
        y += 6
    for moment in drawn.moments:
        x = _x(moment.place)
        shapes.append(Line(((x, top + 4), (x, y)), "text", is_dashed=True))
        # Near the end of the time there is room on the left only.
        left = moment.place > _LATE * drawn.parts
        anchor = "end" if left else "start"
        shapes.append(Text(x - 3 if left else x + 3, top + 12, moment.text, anchor=anchor, size=10, is_bold=True))
    return Drawing(width, y + 4, drawn.title, drawn.description, tuple(shapes))


def _x(part: float) -> float:
    return NAMES + part * CELL_WIDTH


def _lane(lane: Lane, y: float, parts: int) -> list[Shape]:
    shapes: list[Shape] = [Text(0, y + 12, cut(lane.name, NAMES - 8), "quiet")]
    for span in lane.spans:
        begin, end = max(0.0, min(span.begin, parts)), max(0.0, min(span.end, parts))
        length = max((end - begin) * CELL_WIDTH, 8.0)
        shapes.append(Rect(_x(begin), y + 2, length, LANE - 6, lane.tone, lane.pattern, hint=span.hint))
        if end > _LATE * parts:
            shapes.append(Text(_x(begin) - 3, y + 12, cut(span.text, 160), anchor="end", size=10))
        else:
            shapes.append(Text(_x(begin) + length + 3, y + 12, cut(span.text, 160), size=10))
    return shapes


def _cell(cell: Cell, y: float) -> list[Shape]:
    tone, ink = HEAT[cell.heat]
    x = _x(cell.part)
    # The bar lies below, not above: it would take the cell's clicks.
    height = CELL_HEIGHT - (6 if cell.has_faults else 2)
    shapes: list[Shape] = [
        Rect(x, y, CELL_WIDTH - 2, height, tone, hint=cell.hint, href=cell.href),
        Rect(x, y, CELL_WIDTH - 2, height, "line", is_outline=True),
        Text(x + (CELL_WIDTH - 2) / 2, y + 15, cell.text, ink, anchor="middle", size=10),
    ]
    if cell.has_faults:
        shapes.append(Rect(x, y + CELL_HEIGHT - 5, CELL_WIDTH - 2, 3, "alarm", radius=0))
    return shapes
