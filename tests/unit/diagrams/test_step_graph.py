"""The graph of a saga: forks above each other, the pivot, skipped steps, children; as SVG and as Mermaid."""

from __future__ import annotations

from sagas.diagrams import mermaid, step_graph, svg
from sagas.diagrams.drawing import Line, Rect, Text
from sagas.diagrams.step_graph import Look, StepGraph
from tests.lab.sagas import Charged, Choosy, Guardian, Lab


def names(graph: StepGraph) -> list[list[str]]:
    return [[node.name for node in column] for column in graph.columns]


def test_a_fork_is_one_column_and_a_confirmation_stands_where_it_is_awaited() -> None:
    graph = step_graph.of_definition(Choosy.definition)
    assert names(graph) == [["one"], ["two", "three"], ["approval"], ["four"]]
    assert graph.pivot == 3


def test_a_pivot_of_a_saga_without_confirmation_is_behind_its_step() -> None:
    graph = step_graph.of_definition(Charged.definition)
    pivot = next(index for index, step in enumerate(Charged.definition.steps) if step.pivot)
    assert graph.pivot == pivot + 1
    assert not any(node.is_confirmation for column in graph.columns for node in column)


def test_a_step_that_a_run_skips_keeps_its_place() -> None:
    for skipped in ("one", "two", "three", "four"):
        shapes = Choosy.definition.variants.values()
        variant = next(d for d in shapes if [name for _, name in d.skipped] == [skipped])
        graph = step_graph.of_definition(variant)
        found = [name for column in names(graph) for name in column]
        assert [name for name in found if name != "approval"] == ["one", "two", "three", "four"]
        (node,) = [node for column in graph.columns for node in column if node.is_skipped]
        assert node.name == skipped


def test_a_step_that_is_a_saga_has_a_second_border_and_leads_to_its_run() -> None:
    graph = step_graph.of_definition(Guardian.definition)
    (child,) = [node for column in graph.columns for node in column if node.is_child]
    drawing = step_graph.layout(graph, "Guardian", {child.name: Look("busy", "waiting", "/run/1/")})
    assert [s.href for s in drawing.shapes if isinstance(s, Rect) and s.href] == ["/run/1/"]
    assert 'href="/run/1/"' in svg.write(drawing, name="g")


def test_boxes_do_not_touch_and_arrows_lead_from_column_to_column() -> None:
    drawing = step_graph.layout(step_graph.of_definition(Choosy.definition), "Choosy")
    boxes = [s for s in drawing.shapes if isinstance(s, Rect) and s.tone == "surface"]
    for box in boxes:
        assert box.x >= 0 and box.x + box.width <= drawing.width and box.y + box.height <= drawing.height
        for other in boxes:
            apart = abs(box.x - other.x) >= box.width or abs(box.y - other.y) >= box.height
            assert box is other or apart
    arrows = [s for s in drawing.shapes if isinstance(s, Line) and s.has_arrow]
    assert len(arrows) == 2 + 2 + 1
    assert all(arrow.points[0][0] < arrow.points[-1][0] for arrow in arrows)
    assert [row[0] for row in drawing.rows] == ["one", "two", "three", "approval", "four"]


def test_a_run_s_graph_has_the_state_of_each_step_in_words() -> None:
    drawing = step_graph.layout(step_graph.of_definition(Lab.definition), "Lab", {"two": Look("alarm", "failing")})
    assert [s.tone for s in drawing.shapes if isinstance(s, Text) and s.text == "failing"] == ["alarm"]
    assert ("two", "forward, compensate", "failing") in drawing.rows


def test_a_link_to_a_script_is_no_link() -> None:
    graph = step_graph.of_definition(Lab.definition)
    drawing = step_graph.layout(graph, "Lab", {"one": Look("good", "done", "javascript:alert(1)")})
    assert "javascript" not in svg.write(drawing, name="g")


def test_mermaid_draws_the_same() -> None:
    skipping = next(d for d in Choosy.definition.variants.values() if [name for _, name in d.skipped] == ["two"])
    assert mermaid.write(step_graph.of_definition(skipping)) == (
        "flowchart LR\n"
        '    n0_0["one<br/>forward, confirm, compensate"]\n'
        '    n1_0["two"]\n'
        '    n2_0["three<br/>try, confirm, cancel"]\n'
        '    n3_0{{"approval"}}\n'
        '    n4_0["four<br/>forward"]\n'
        "    n0_0 --> n1_0\n"
        "    n1_0 --> n2_0\n"
        "    n2_0 --> n3_0\n"
        "    n3_0 ==>|point of no return| n4_0\n"
        "    classDef skipped stroke-dasharray: 4 3\n"
        "    class n1_0 skipped\n"
    )
