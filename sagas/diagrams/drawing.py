"""What drawings are made of: shapes with their places in pixels, and the words in which a drawing speaks. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

#: Pixels from one line of text to the next.
LINE = 16.0
#: The width of a letter of the smallest text, and of a wide one, such as a Chinese character.
LETTER, WIDE_LETTER = 6.2, 11.0


@dataclass(frozen=True, slots=True)
class Words:
    """How a drawing says what it shows.

    Attributes:
        say: translates a text of this package. Each is marked in ``sagas.admin.run_page.words``.
        span: writes a length of time.
        clock: writes a moment.
    """

    say: Callable[[str], str] = str
    span: Callable[[timedelta], str] = str
    clock: Callable[[datetime], str] = lambda at: at.isoformat(sep=" ", timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle, filled with a tone, or only outlined. ``hint`` is shown when a pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    pattern: str = ""
    is_outline: bool = False
    is_dashed: bool = False
    radius: float = 2
    hint: str = ""
    #: Where a click on it leads.
    href: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through two or more points, with an arrow at its end if it leads somewhere."""

    points: tuple[tuple[float, float], ...]
    tone: str
    is_dashed: bool = False
    has_arrow: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A text whose baseline begins, or is centred or ends, at a place."""

    x: float
    y: float
    text: str
    tone: str = "text"
    anchor: str = "start"
    size: float = 11
    is_bold: bool = False


Shape: TypeAlias = Rect | Line | Text


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing, with its name and what it shows for people who do not see it, and the same as a table.

    Attributes:
        width: in pixels.
        height: in pixels.
        title: its name.
        description: what it shows, in a sentence or two.
        shapes: the first is drawn first.
        header: of the table.
        rows: of the table.
    """

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = field(default=())


def text_width(text: str) -> float:
    """About how many pixels a text takes."""
    return sum(LETTER if letter.isascii() else WIDE_LETTER for letter in text)


def cut(text: str, pixels: float) -> str:
    """A text that is as wide at most; what is left out is told by an ellipsis."""
    if text_width(text) <= pixels:
        return text
    kept = text
    while kept and text_width(kept) > pixels - WIDE_LETTER:
        kept = kept[:-1]
    return f"{kept}…"
