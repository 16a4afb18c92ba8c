"""What the papers say of the code is what the code is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from sagas.conf import Config
from tests.docs import settings_table, spans_table
from tests.docs.papers import PAPERS, ROOT, anchors, blocks, headings, links, name, prose, table


def code(cell: str) -> str:
    """What stands between the backticks."""
    return cell.strip("`")


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_every_link_has_a_target(paper: Path) -> None:
    for text, target in links(paper):
        path, _, anchor = target.partition("#")
        there = (paper.parent / path).resolve() if path else paper
        assert there.exists(), f"[{text}]({target})"
        if anchor:
            assert anchor in anchors(there), f"[{text}]({target})"


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_every_make_target_exists(paper: Path) -> None:
    said = set(re.findall(r"\bmake ([a-z][a-z-]*)`", prose(paper)))
    said |= {target for block in blocks(name(paper), "sh") for target in re.findall(r"^make (\S+)", block.text, re.M)}
    for target in said:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_no_two_lines_are_blank_between_paragraphs(paper: Path) -> None:
    text = paper.read_text()
    for block in re.findall(r"^ *```.*?^ *```$", text, re.MULTILINE | re.DOTALL):
        text = text.replace(block, "```")
    assert "\n\n\n" not in text


#: A saga that a sample declares.
_SAGA = re.compile(r"^class (?P<name>\w+)\(Saga\[", re.MULTILINE)


def test_every_saga_of_the_samples_has_a_name_of_its_own() -> None:
    declared = [
        (block.title.partition("/")[0], found["name"])
        for paper in PAPERS
        if paper.name != "README.zh-CN.md"
        for block in blocks(name(paper), "python")
        for found in _SAGA.finditer(block.text)
    ]
    assert len(declared) > 5
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_a_saga_in_another_module_than_sagas_is_said_to_need_an_import(paper: Path) -> None:
    elsewhere = [block for block in blocks(name(paper), "python") if _SAGA.search(block.text) and "/" in block.title]
    if any(not block.title.partition(",")[0].endswith("/sagas.py") for block in elsewhere):
        assert re.search(r"imported by (the app's|`tastings/)", prose(paper))


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_every_sample_is_python(paper: Path) -> None:
    for block in blocks(name(paper), "python"):
        compile(block.text, f"{name(paper)}: {block.title}", "exec")


def test_the_documented_settings_are_those_of_the_engine() -> None:
    assert settings_table.described().keys() == {field.name for field in fields(Config)}, "each has (unit) and meaning"
    assert settings_table.written() == settings_table.render(), "python -m tests.docs.settings_table"


def test_the_documented_spans_are_those_of_the_code() -> None:
    assert spans_table.written() == spans_table.render(), "python -m tests.docs.spans_table"


def test_the_documented_sum_of_lease_times_is_right() -> None:
    config = Config(queues=("any",))
    leases = [config.lease * 2**claim for claim in range(config.lease_limit)]
    said = re.search(r"claimed after ([\d, and]+) seconds", prose(ROOT / "docs/reference/settings.md"))
    assert said is not None
    assert [float(number) for number in re.findall(r"\d+", said[1])] == leases
    assert sum(leases) == 630  # ten and a half minutes


def test_the_documented_environment_variables_are_those_of_the_project() -> None:
    documented = {code(row[0]) for row in table("docs/reference/shop-settings.md", "variable")}
    source = (ROOT / "drinkgroup/settings.py").read_text()
    assert documented == set(re.findall(r"env\.\w+\(\"(\w+)\"", source))


def layers(container: str = "") -> list[list[str]]:
    """The layers of a contract of import-linter, from the top: of what is in ``container``, or of the project."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (
        contract
        for contract in contracts
        if contract["type"] == "layers" and contract.get("containers", [""]) == [container]
    )
    return [layer.split(" | ") for layer in contract["layers"]]


@pytest.mark.parametrize("container", ["", "sagas"])
def test_the_documented_layers_are_those_that_are_checked(container: str) -> None:
    drawn = [[line.split(" | ") for line in block.text.splitlines()] for block in blocks("ARCHITECTURE.md", "text")]
    assert layers(container) in drawn


def named(cell: str) -> list[str]:
    """The names between backticks."""
    return re.findall(r"`(\w+)`", cell)


def test_every_package_and_module_of_the_engine_has_one_row() -> None:
    rows = [name for row in table("ARCHITECTURE.md", "in `sagas/`") for name in named(row[0])]
    packages = {path.parent.name for path in (ROOT / "sagas").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "sagas").glob("*.py")} - {"__init__"}
    assert sorted(rows) == sorted(packages | modules)


def test_the_rows_of_the_engine_say_what_the_layers_let_each_import() -> None:
    checked = layers("sagas")
    for first, _, below in table("ARCHITECTURE.md", "in `sagas/`"):
        here = {index for index, layer in enumerate(checked) for name in named(first) if name in layer}
        for index in here:
            lower = checked[index + 1 : index + 2]
            assert [named(below)] == (lower or [[]]), first
            assert below.endswith(" and below") is (index + 2 < len(checked)), first


def test_every_name_in_the_glossary_is_in_its_file() -> None:
    for text, target in links(ROOT / "GLOSSARY.md"):
        named = re.fullmatch(r"`@?((?:\w+\.)*\w+)`", text)
        if not target.endswith(".py") or named is None:
            continue
        module = target.removesuffix(".py").split("/")
        parts = named[1].removeprefix("sagas.").split(".")
        # The module may be named in front, with or without its packages.
        length = next((n for n in range(len(parts), 0, -1) if parts[:n] == module[-n:]), 0)
        owner: object = importlib.import_module(".".join(module))
        for member in parts[length:]:
            known = hasattr(owner, member) or (inspect.isclass(owner) and member in owner.__annotations__)
            assert known, f"[{text}]({target})"
            owner = getattr(owner, member, None)


def test_the_glossary_is_in_order() -> None:
    words = [heading.lower() for heading in headings(ROOT / "GLOSSARY.md")[1:]]
    assert words == sorted(words)


def test_every_module_on_the_way_of_an_order_is_named_as_its_file() -> None:
    rows = [*table("ARCHITECTURE.md", "forward"), *table("ARCHITECTURE.md", "back")]
    for *_, where in rows:
        found = re.findall(r"\[`([\w.]+)`\]\((\S+)\)", where)
        assert found, where
        for module, file in found:
            assert file.removeprefix("sagas/") == f"{module.removeprefix('sagas.').replace('.', '/')}.py"


def resolve(dotted: str) -> object:
    """Find what a dotted name names."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(dotted)


def test_every_pinned_version_has_a_reason() -> None:
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert sorted(code(row[0]) for row in table("docs/adr/0013-libraries.md", "pin")) == sorted(pinned)


def test_every_architecture_decision_is_listed() -> None:
    listed = [row[0] for row in table("docs/adr/README.md", "file")]
    files = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    assert [re.sub(r".*\((.+)\)", r"\1", cell) for cell in listed] == files
    for file in files:
        title, *parts = headings(ROOT / "docs/adr" / file)
        assert title.startswith(f"{int(file[:4])}. ")
        assert parts == ["Context", "Decision", "Consequences", "Alternatives"], file


def test_the_engine_imports_only_packages_that_it_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    declared = {re.split(r"[<>=\[ ]", each)[0].lower().removesuffix("-binary") for each in wanted}
    imported: set[str] = set()
    for path in (ROOT / "sagas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    # Four come with Celery, one with Django, one with pydantic; pytest has whoever makes a test of the matrix for it.
    others = {"sagas", "amqp", "billiard", "click", "kombu", "asgiref", "pydantic_core", "pytest"}
    # The name under which all packages of OpenTelemetry are imported.
    imported = {"opentelemetry-sdk" if package == "opentelemetry" else package for package in imported}
    assert {package.replace("_", "-") for package in imported - sys.stdlib_module_names - others} <= declared
