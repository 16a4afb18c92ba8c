"""Every file and every dotted name of the code that a paper mentions exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.papers import PAPERS, ROOT, blocks, name, prose
from tests.docs.test_papers import resolve

#: The papers that speak of the code as it is: the changelog also speaks of what it was.
PRESENT = [paper for paper in PAPERS if paper.name != "CHANGELOG.md"] + sorted((ROOT / "examples").rglob("README.md"))
#: The first folders of names in code.
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
#: The packages of the engine: a paper may leave out ``sagas.`` in front of them.
INSIDE = {path.parent.name for path in (ROOT / "sagas").glob("*/__init__.py")}
#: What has a dot and is no name in code: queues and exchanges, tasks, permissions, system checks, tables' names.
OTHERS = re.compile(
    r"""sagas\.(dispatch|step|event|cancel|notify|escalation|events|dead|deadline|delay)(\.\d+)?
    | sagas\.\w+_(run|breaker|escalation|pause)
    | sagas\.[EW]\d+
    | sagas\.(saga|run\.id|operation|attempt|outcome|cohort\.size|state) # attributes of spans
    | \w+\.[A-Z]\w+(\.\w+)?
    | (\w+\.)+(md|ya?ml|toml|svg|py|txt)""",
    re.VERBOSE,
)


def spans(paper: Path) -> Iterator[str]:
    """What stands between backticks, outside code blocks."""
    yield from re.findall(r"`([^`\n]+)`", prose(paper))


def dotted(paper: Path) -> set[str]:
    """The dotted names of our code: those in backticks, without what they are called with."""
    found: set[str] = set()
    for span in spans(paper):
        for said in re.findall(r"(?<![\w./:@\[{-])[a-z_]\w*(?:\.\w+)+(?![\w/*-])", span):
            if said.split(".")[0] in PACKAGES | INSIDE and not OTHERS.fullmatch(said):
                found.add(said)
    return found


@pytest.mark.parametrize("paper", PRESENT, ids=name)
def test_every_file_that_a_paper_names_exists(paper: Path) -> None:
    for span in spans(paper):
        for file in re.findall(r"(?<![\w./-])\w+(?:/[\w-]+)+\.(?:py|mjs|md|yaml|toml)\b", span):
            if file.split("/")[0] in PACKAGES | {"docs", "examples", "deploy", "scripts"}:
                assert (ROOT / file).exists(), file


@pytest.mark.parametrize("paper", PRESENT, ids=name)
def test_every_dotted_name_of_a_paper_exists(paper: Path) -> None:
    for said in sorted(dotted(paper)):
        resolve(said if said.split(".")[0] in PACKAGES else f"sagas.{said}")


def test_dotted_names_are_found() -> None:
    assert {"engine.lifecycle.insert_run", "sagas.engine.poison"} <= dotted(ROOT / "docs/maintainers/transactions.md")


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_every_import_from_the_engine_exists(paper: Path) -> None:
    for block in blocks(name(paper), "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sagas":
                for alias in node.names:
                    resolve(f"{node.module}.{alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "sagas":
                        importlib.import_module(alias.name)
