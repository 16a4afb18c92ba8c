"""The graph of a saga's steps: which follow each other, which are performed at once, where the pivot is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Operation
from sagas.diagrams.drawing import Drawing, Line, Rect, Shape, Text, Words, cut

_WIDTH, _HEIGHT = 138.0, 46.0
_GAP_X, _GAP_Y = 34.0, 14.0
_MARGIN = 12.0
_HEAD = 26.0


@dataclass(frozen=True, slots=True)
class Look:
    """How far a step of a run has come.

    Attributes:
        tone: its colour.
        word: its state, for people.
        href: a page about it: that of the child that is the step.
    """

    tone: str
    word: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A step or a confirmation.

    Attributes:
        name: its name.
        operations: what is performed of it, in the order of a run.
        is_confirmation: whether it is one.
        is_skipped: whether the run leaves it out.
        is_child: whether another saga performs it.
    """

    name: str
    operations: tuple[str, ...] = ()
    is_confirmation: bool = False
    is_skipped: bool = False
    is_child: bool = False


@dataclass(frozen=True, slots=True)
class StepGraph:
    """The nodes in columns from left to right. All of a column follow all of the column before it.

    Attributes:
        columns: the nodes of each.
        pivot: the number of columns behind which a run only goes forward; ``None`` if there is none.
    """

    columns: tuple[tuple[Node, ...], ...]
    pivot: int | None


def of_definition(definition: Definition) -> StepGraph:
    """Read the graph off a definition."""
    columns: list[tuple[Node, ...]] = []
    pivot = None
    skipped = iter(definition.skipped)
    left = next(skipped, None)
    declared = 0
    index = 0
    while index < len(definition.steps) or left is not None or (pivot is None and definition.confirmations):
        if left is not None and left[0] == declared:
            columns.append((Node(left[1], is_skipped=True),))
            left, declared = next(skipped, None), declared + 1
        elif index == definition.before_pivot and pivot is None and definition.confirmations:
            columns.append(tuple(Node(each.name, is_confirmation=True) for each in definition.confirmations))
            pivot = len(columns)
        elif index < len(definition.steps):
            if index == definition.pivot:
                pivot = pivot or len(columns)
            stage = definition.stages[index]
            columns.append(tuple(_node(definition, each) for each in stage))
            index, declared = stage.stop, declared + len(stage)
        else:
            # Positions that say nothing to this code: what is left is shown at the end.
            assert left is not None
            columns.append((Node(left[1], is_skipped=True),))
            left = next(skipped, None)
    return StepGraph(tuple(columns), pivot)


def _node(definition: Definition, index: int) -> Node:
    step = definition.steps[index]
    is_child = any(action.location is Location.CHILD for action in step.actions.values())
    return Node(step.name, tuple(str(action.operation.value) for action in step.actions.values()), is_child=is_child)


def layout(
    graph: StepGraph,
    title: str,
    looks: Mapping[str, Look] | None = None,
    words: Words = Words(),  # noqa: B008
) -> Drawing:
    """Lay a graph out.

    Args:
        graph: the graph.
        title: of the drawing.
        looks: of a run, how far each step and each confirmation has come, by name.
        words: how to say it.
    """
    tallest = max((len(column) for column in graph.columns), default=1)
    inner = tallest * (_HEIGHT + _GAP_Y) - _GAP_Y
    places: list[list[tuple[float, float]]] = []
    for number, column in enumerate(graph.columns):
        x = _MARGIN + number * (_WIDTH + _GAP_X)
        top = _HEAD + (inner - len(column) * (_HEIGHT + _GAP_Y) + _GAP_Y) / 2
        places.append([(x, top + row * (_HEIGHT + _GAP_Y)) for row in range(len(column))])
    shapes: list[Shape] = []
    for before, after in pairwise(places):
        shapes += [_edge(start, end) for start in before for end in after]
    if graph.pivot is not None and graph.columns:
        x = _MARGIN + graph.pivot * (_WIDTH + _GAP_X) - _GAP_X / 2
        shapes.append(Line(((x, 18), (x, _HEAD + inner + _MARGIN)), "alarm", is_dashed=True))
        shapes.append(Text(x, 12, words.say("point of no return"), "alarm", "middle", 10, is_bold=True))
    rows = []
    for column, at in zip(graph.columns, places, strict=True):
        for node, (x, y) in zip(column, at, strict=True):
            look = (looks or {}).get(node.name)
            shapes += _box(node, x, y, look, words)
            rows.append((node.name, _kind(node, words), look.word if look else ""))
    width = 2 * _MARGIN + len(graph.columns) * (_WIDTH + _GAP_X) - _GAP_X
    # The words at the pivot may stand behind everything else.
    width = max(width, _MARGIN + (graph.pivot or 0) * (_WIDTH + _GAP_X) + 60) if graph.pivot else width
    header = tuple(words.say(each) for each in ("step", "what", "state"))
    described = words.say("The steps from left to right; those above each other are performed at the same time.")
    return Drawing(width, _HEAD + inner + 2 * _MARGIN, title, described, tuple(shapes), header, tuple(rows))


def _edge(start: tuple[float, float], end: tuple[float, float]) -> Line:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    x2, y2 = end[0], end[1] + _HEIGHT / 2
    middle = x1 + _GAP_X / 2
    points = ((x1, y1), (x2, y2)) if y1 == y2 else ((x1, y1), (middle, y1), (middle, y2), (x2, y2))
    return Line(points, "quiet", has_arrow=True)


def _box(node: Node, x: float, y: float, look: Look | None, words: Words) -> list[Shape]:
    tone = look.tone if look else "quiet"
    shapes: list[Shape] = [Rect(x, y, _WIDTH, _HEIGHT, "surface", radius=23 if node.is_confirmation else 5)]
    shapes.append(
        Rect(
            x,
            y,
            _WIDTH,
            _HEIGHT,
            tone,
            is_outline=True,
            is_dashed=node.is_skipped,
            hint=_kind(node, words),
            radius=23 if node.is_confirmation else 5,
        )
    )
    if node.is_child:
        # A second border, as flowcharts have it for what is drawn elsewhere.
        shapes.append(Rect(x + 4, y + 4, _WIDTH - 8, _HEIGHT - 8, tone, is_outline=True, radius=3))
    shapes.append(Text(x + _WIDTH / 2, y + 19, cut(node.name, _WIDTH - 20), anchor="middle", is_bold=True))
    said = look.word if look else _kind(node, words)
    shapes.append(Text(x + _WIDTH / 2, y + 35, cut(said, _WIDTH - 16), tone, anchor="middle", size=10))
    if look and look.href:
        # Over everything, so that a click anywhere on it leads there.
        shapes.append(Rect(x, y, _WIDTH, _HEIGHT, tone, is_outline=True, href=look.href, radius=5))
    return shapes


def _kind(node: Node, words: Words) -> str:
    if node.is_confirmation:
        return words.say("confirmation")
    if node.is_skipped:
        return words.say("skipped")
    said = ", ".join(words.say(operation) for operation in node.operations)
    return f"{words.say('another saga')}: {said}" if node.is_child else said


def texts() -> tuple[str, ...]:
    """Every text that a graph may say, for its translators, but for states of steps."""
    fixed = (
        *("point of no return", "confirmation", "skipped", "another saga", "step", "what", "state"),
        "The steps from left to right; those above each other are performed at the same time.",
    )
    return (*fixed, *(operation.value for operation in Operation))
