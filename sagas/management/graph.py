"""``manage.py sagas graph``: the steps of a saga as Mermaid, for documents, or as SVG."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.definition import registry
from sagas.definition.definition import Definition
from sagas.diagrams import mermaid, step_graph, svg


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("saga", help="Its name, such as orders.PlaceOrder.")
    parser.add_argument("--version", dest="saga_version", type=int, help="Of these versions; by default the newest.")
    parser.add_argument("--format", choices=["mermaid", "svg"], default="mermaid", help="What is printed (mermaid).")


def run(out: OutputWrapper, *, saga: str, saga_version: int | None, format: str, **_: Any) -> None:  # noqa: A002
    """Print it."""
    definition = find(saga, saga_version)
    graph = step_graph.of_definition(definition)
    if format == "svg":
        title = f"{definition.name}, version {definition.version}"
        out.write(svg.write(step_graph.layout(graph, title), name="saga", standalone=True))
    else:
        out.write(mermaid.write(graph), ending="")


def find(saga: str, version: int | None) -> Definition:
    """The definition of this name, in this version or in the newest; ``CommandError`` names those that there are."""
    known = [definition for definition in registry.all_definitions() if definition.name == saga]
    if not known:
        names = ", ".join(sorted({definition.name for definition in registry.all_definitions()}))
        msg = f"there is no saga {saga!r}; there are {names or 'none'}"
        raise CommandError(msg)
    if version is None:
        return max(known, key=lambda definition: definition.version)
    for definition in known:
        if definition.version == version:
            return definition
    versions = ", ".join(str(definition.version) for definition in known)
    msg = f"{saga} has no version {version}; it has {versions}"
    raise CommandError(msg)
