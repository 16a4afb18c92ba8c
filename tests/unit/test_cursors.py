"""Who opens a cursor on a database: SQL of the engine's tables is in ``sagas.store``, where their locks are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sagas

ROOT = Path(sagas.__file__).parent

#: Packages and modules of ``sagas`` that may open a cursor, and why.
ALLOWED = {
    "store": "all SQL of the engine's tables",
    "pool": "the application's pools, and their holds",
    "operations": "what operators ask and repair, across tables",
    "local/supervisor": "LISTEN, and no table",
    "testing": "the test kit looks at the application's tables, and moves times",
    "postgresql": "sessions and their locks, and no table",
    "replication": "replication slots, and no table",
    "requirements/migrations": "the catalogue and what Django keeps of migrations, and no table of the engine",
    "requirements/server_settings": "settings of the server, and no table",
}

#: Methods of Django's connections that open one.
OPENS = {"cursor", "chunked_cursor"}


def openers(tree: ast.AST) -> list[int]:
    """Lines of the code that open a cursor."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPENS
    ]


def opening() -> dict[str, list[int]]:
    """Modules of ``sagas`` that open a cursor, as paths without their ending, and in which lines."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if lines := openers(ast.parse(path.read_text())):
            found[path.relative_to(ROOT).with_suffix("").as_posix()] = lines
    return found


def is_in(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}/")


def test_no_other_module_opens_a_cursor() -> None:
    others = {
        module: lines for module, lines in opening().items() if not any(is_in(module, place) for place in ALLOWED)
    }
    assert not others, f"move this SQL to sagas.store: {others}"


@pytest.mark.parametrize("place", ALLOWED)
def test_every_exception_is_needed(place: str) -> None:
    assert any(is_in(module, place) for module in opening())


def test_a_cursor_is_found_however_it_is_opened() -> None:
    code = "with connection.cursor() as one: ...\nwith connections[alias].chunked_cursor() as two: ...\nrun.cursor\n"
    assert openers(ast.parse(code)) == [1, 2]
