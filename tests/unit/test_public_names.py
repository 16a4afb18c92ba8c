"""The public names: what ``import sagas`` offers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sagas
import sagas.consumer
import sagas.metrics
import sagas.pool
import sagas.remote
import sagas.selectors
import sagas.testing
import sagas.trace_context
from sagas import errors
from tests.docs.papers import PAPERS, all_blocks

ROOT = Path(__file__).resolve().parents[2]


def test_the_errors_that_an_application_catches_are_public() -> None:
    public = {name for name in sagas.__all__ if isinstance(getattr(errors, name, None), type)}
    assert public == {"AlreadyDecided", "InvalidRequest", "Locked", "Overloaded", "Rejected", "RunNotFound"}


def test_every_public_name_is_documented() -> None:
    undocumented = [name for name in sagas.__all__ if not getattr(sagas, name).__doc__]
    assert undocumented == []


def test_what_the_public_modules_promise_is_there() -> None:
    public = (
        sagas.consumer,
        sagas.metrics,
        sagas.pool,
        sagas.remote,
        sagas.selectors,
        sagas.testing,
        sagas.trace_context,
    )
    for module in public:
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert missing == [], module.__name__


#: Where an application may import from: docs/reference/compatibility.md.
PUBLIC = {
    *("sagas", "sagas.celery", "sagas.consumer", "sagas.errors", "sagas.http", "sagas.models", "sagas.pool"),
    *("sagas.postgresql", "sagas.remote", "sagas.routers", "sagas.selectors", "sagas.states", "sagas.testing"),
    *("sagas.log_context", "sagas.metrics", "sagas.observability", "sagas.trace_context", "sagas.worker"),
}
#: What only the shop may, which is released with the engine, and why an application can do without it.
ONLY_THE_SHOP = {
    "sagas.admin.lists": "the admin of the shop has the look and the safeguards of the engine's",
    "sagas.conf": "`prepare` makes what the engine's settings say",
    "sagas.db": "arrays for set-based SQL, errors of the database, calls after the commit",
    "sagas.replication": "reconciliation reads what the write-ahead log says was committed",
    "sagas.invariants": "reconciliation declares what holds between the tables of the shop and the runs",
    "sagas.limits": "a column of the shop is as wide as the engine's",
    "sagas.pool.batches": "the ledger of the inventory reads the holds of batches",
    "sagas.pool.invariants": "reconciliation: what holds of each pool",
    "sagas.pool.relocation": "a recall moves holds to other batches",
    "sagas.pool.repairs": "reconciliation: the counts of a pool follow its holds",
    "sagas.postgresql.operations": "migrations of the shop keep rows while runs use them",
    "sagas.postgresql.watchdog": "the health of the web has a limit of its own",
    "sagas.redaction": "the logs of the shop hide secrets of URLs",
    "sagas.redis": "throttles and claims of coupons use the engine's connection",
    "sagas.signatures": "webhooks of payments are signed as reports are",
    "sagas.store": "the health of the web asks how old the workers' signs of life are",
    "sagas.validation": "bodies of requests are read as strictly as the engine's",
    "sagas.watching": "waiting answers are told by the engine's thread",
}
SHOP = ("campaigns", "coupons", "delivery", "drinkgroup", "inventory", "orders", "payments", "webhooks")


def _imported_by(folder: str) -> Iterator[tuple[Path, str]]:
    """Each module of the engine that a folder imports, by what it writes; the names that it imports are not looked at.

    ``from sagas import consumer`` is `sagas.consumer`.
    """
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                if node.module == "sagas":
                    for alias in node.names:
                        yield path, "sagas" if alias.name in sagas.__all__ else f"sagas.{alias.name}"
                elif node.module.startswith("sagas."):
                    yield path, node.module
            elif isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names if alias.name.split(".")[0] == "sagas")


@pytest.mark.parametrize("folder", SHOP)
def test_an_app_of_the_shop_imports_by_public_paths(folder: str) -> None:
    inside = [
        f"{path.relative_to(ROOT)}: {module}"
        for path, module in _imported_by(folder)
        if module not in PUBLIC and module not in ONLY_THE_SHOP
    ]
    assert inside == [], "import it by its public path (ADR 81)"


def test_samples_of_the_papers_import_by_public_paths() -> None:
    samples = [
        (paper.name, block.text) for paper in PAPERS for block in all_blocks(paper) if block.language == "python"
    ]
    imports = re.compile(r"^\s*from (sagas[\w.]*) import", re.MULTILINE)
    inside = {(paper, module) for paper, text in samples for module in imports.findall(text) if module not in PUBLIC}
    assert sorted(inside) == []
