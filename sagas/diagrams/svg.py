"""Writes a drawing as SVG, by presentation attributes alone: no policy refuses it, and no style sheet is needed. Pure.

Each shape has its colour as an attribute, and a class by which a page's style sheet gives it that of the theme.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from sagas.diagrams.drawing import Drawing, Line, Rect, Shape, Text

#: Colours on a light ground, by tone; those of the style sheet ``sagas/admin.css``.
COLOURS = {
    "still": "#5f6b76",
    "busy": "#1f6fb2",
    "held": "#7a4fb0",
    "undo": "#9a5b00",
    "alarm": "#c2185b",
    "good": "#2d7a37",
    "bad": "#b3261e",
    "line": "#d5dbe0",
    "ahead": "#cfd6dc",
    "surface": "#f1f3f5",
    "text": "#333333",
    "quiet": "#666666",
    "ink": "#ffffff",
    "warm": "#ffe3a8",
    "hot": "#ffb84d",
}
#: By name, what is drawn over a square of eight pixels again and again.
PATTERNS = {
    "queue": '<circle cx="2" cy="4" r="1.2"/>',
    "backoff": '<path d="M0 8L8 0"/>',
    "report": '<path d="M0 2H8M0 6H8"/>',
    "confirmation": '<path d="M2 0V8M6 0V8"/>',
    "person": '<path d="M0 8L8 0M0 0L8 8"/>',
}
#: Tones of the patterns.
PATTERN_TONES = {"queue": "still", "backoff": "alarm", "report": "held", "confirmation": "held", "person": "bad"}


def write(drawing: Drawing, *, name: str, standalone: bool = False) -> str:
    """Write it.

    Args:
        drawing: the drawing.
        name: of the ids in it: a page may have several drawings.
        standalone: for a file of its own, with its size and the namespace.
    """
    extent = f"{_n(drawing.width)} {_n(drawing.height)}"
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    used = {shape.pattern for shape in drawing.shapes if isinstance(shape, Rect) and shape.pattern}
    parts = [
        f'<svg{space} class="saga-drawing" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'viewBox="0 0 {extent}" width="{_n(drawing.width)}" height="{_n(drawing.height)}" '
        'font-family="system-ui, sans-serif">',
        f'<title id="{name}-title">{escape(drawing.title)}</title>',
        f'<desc id="{name}-desc">{escape(drawing.description)}</desc>',
        "<defs>",
        *(_pattern(name, pattern) for pattern in PATTERNS if pattern in used),
        f'<marker id="{name}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0L8 4L0 8z" {_fill("quiet")}/></marker>',
        "</defs>",
        *(_shape(name, shape) for shape in drawing.shapes),
        "</svg>",
    ]
    return "".join(parts)


def _n(number: float) -> str:
    """A number of pixels, with a tenth at most."""
    return f"{number:.1f}".removesuffix(".0")


def _fill(tone: str) -> str:
    return f'fill="{COLOURS[tone]}" class="saga-fill-{tone}"'


def _stroke(tone: str) -> str:
    return f'fill="none" stroke="{COLOURS[tone]}" class="saga-stroke-{tone}"'


def _pattern(name: str, pattern: str) -> str:
    tone = PATTERN_TONES[pattern]
    drawn = _fill(tone) if pattern == "queue" else _stroke(tone)
    return (
        f'<pattern id="{name}-{pattern}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f"<g {drawn}>{PATTERNS[pattern]}</g></pattern>"
    )


def _shape(name: str, shape: Shape) -> str:
    match shape:
        case Rect():
            return _rect(name, shape)
        case Line():
            points = "L".join(f"{_n(x)} {_n(y)}" for x, y in shape.points)
            dash = ' stroke-dasharray="4 3"' if shape.is_dashed else ""
            arrow = f' marker-end="url(#{name}-arrow)"' if shape.has_arrow else ""
            return f'<path d="M{points}" {_stroke(shape.tone)}{dash}{arrow}/>'
        case Text():
            bold = ' font-weight="600"' if shape.is_bold else ""
            anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
            place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}"'
            return f"<text {place}{anchor}{bold} {_fill(shape.tone)}>{escape(shape.text)}</text>"


def _rect(name: str, rect: Rect) -> str:
    place = f'x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}"'
    corners = f' rx="{_n(rect.radius)}"' if rect.radius else ""
    dash = ' stroke-dasharray="3 3"' if rect.is_dashed else ""
    hint = f"<title>{escape(rect.hint)}</title>" if rect.hint else ""
    look = _stroke(rect.tone) if rect.is_outline else _fill(rect.tone)
    if rect.pattern:
        look = f'fill="url(#{name}-{rect.pattern})" stroke="{COLOURS[rect.tone]}" class="saga-edge-{rect.tone}"'
    drawn = f"<rect {place}{corners}{dash} {look}>{hint}</rect>" if hint else f"<rect {place}{corners}{dash} {look}/>"
    if rect.href and urlsplit(rect.href).scheme in {"", "http", "https"}:
        return f'<a href="{escape(rect.href)}">{drawn}</a>'
    return drawn
