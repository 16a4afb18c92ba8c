"""Writes the graph of a saga's steps as Mermaid, which documents and code hosts draw. Pure."""

from __future__ import annotations

from sagas.diagrams.step_graph import Node, StepGraph


def write(graph: StepGraph) -> str:
    """Write a flowchart, from left to right; it ends with a line break."""
    lines = ["flowchart LR"]
    names: list[list[str]] = []
    for number, column in enumerate(graph.columns):
        names.append([f"n{number}_{row}" for row in range(len(column))])
        lines += [f"    {name}{_box(node)}" for name, node in zip(names[-1], column, strict=True)]
    for number in range(1, len(names)):
        arrow = " ==>|point of no return| " if number == graph.pivot else " --> "
        lines += [f"    {before}{arrow}{after}" for before in names[number - 1] for after in names[number]]
    skipped = [
        name
        for column, written in zip(graph.columns, names, strict=True)
        for node, name in zip(column, written, strict=True)
        if node.is_skipped
    ]
    if skipped:
        lines += ["    classDef skipped stroke-dasharray: 4 3", f"    class {','.join(skipped)} skipped"]
    return "\n".join(lines) + "\n"


def _box(node: Node) -> str:
    operations = f"<br/>{', '.join(node.operations)}" if node.operations else ""
    label = f'"{node.name}{operations}"'
    if node.is_confirmation:
        return f"{{{{{label}}}}}"
    return f"[[{label}]]" if node.is_child else f"[{label}]"
