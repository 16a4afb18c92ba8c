"""Curves as SVG: the same figures give the same bytes."""

from __future__ import annotations

import math
from html import escape

from bench.results import Curve

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 64, 52
_COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7b5ea7")


def draw(curve: Curve) -> str:
    """Draw a curve: the values of x stand at equal distances, because most of them grow by factors."""
    values = sorted({x for points in curve.points.values() for x, _ in points})
    step = tick(max((y for points in curve.points.values() for _, y in points), default=0.0))
    top = 5 * step

    def place(x: float, y: float) -> tuple[float, float]:
        across = (values.index(x) + 0.5) / len(values)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#333">',
        f"<title>{escape(curve.title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600">{escape(curve.title)}</text>',
        f'<text x="{_LEFT}" y="54">{escape(curve.y)}</text>',
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(curve.x)}</text>',
    ]
    for number in range(6):
        _, y = place(values[0], number * step) if values else (0.0, 0.0)
        lines += [
            f'<path d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{number * step:,.6g}</text>',
        ]
    for value in values:
        x, y = place(value, 0)
        lines.append(f'<text x="{x:g}" y="{y + 18:g}" text-anchor="middle">{value:,.12g}</text>')
    for number, (name, points) in enumerate(curve.points.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:g},{y:g}" for x, y in placed)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:g}" cy="{y:g}" r="3.5" fill="{colour}"/>' for x, y in placed]
        where = f'x="{_WIDTH - _RIGHT}" y="{22 + 16 * number}" text-anchor="end"'
        lines.append(f'<text {where} fill="{colour}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def tick(highest: float) -> float:
    """A round step, of which five reach the highest value."""
    if highest <= 0:
        return 1.0
    raw = highest / 5
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
