"""The site is built without a warning: every page has its place, every link a target. And it needs no other server."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sagas
from tests.docs.papers import ROOT, words


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make docs`` builds."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html"]
    command += ["-d", str(folder / "read"), str(ROOT / "docs"), str(folder / "html")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_it_is_built_as_make_docs_says() -> None:
    said = subprocess.run(["make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "sphinx-build --fail-on-warning --keep-going --quiet -b html docs site" in said


@pytest.mark.timeout(400)
def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text()
        loads = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"", text)
        loads += re.findall(r"<link\b[^>]*\bhref=\"([^\"]+)\"", text)
        assert not [target for target in loads if re.match(r"(?:[a-z]+:)?//", target)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.mark.timeout(400)
def test_the_reference_has_all_that_can_be_imported_from_the_engine(site: Path) -> None:
    page = (site / "reference/python.html").read_text()
    assert [name for name in sagas.__all__ if f'id="sagas.{name}"' not in page] == []


#: The parts of the site through which a reader is led, to the last page of them. Apart are the shop and the
#: maintainers' papers; and of those who come from another system, each reads one page: the longest counts.
PATH = ("Begin", "How to", "Operate", "When you need it", "Reference")
#: Pages that are generated; and the contract for authors of a participant in another language, a reader of its own.
APART = (
    "reference/versions",
    "reference/python",
    "reference/spans",
    "reference/remote-participants",
    "reference/metrics",
    "how-to/alerts",
)


def test_the_readers_path_has_at_most_15000_words() -> None:
    index = (ROOT / "docs/index.md").read_text()
    parts = dict(re.findall(r"```\{toctree\}\n:caption: ([^\n]+)\n:hidden:\n\n(.+?)\n```", index, re.DOTALL))
    assert parts.keys() == {*PATH, "Coming from", "The shop", "Maintainers"}
    pages = [page for part in PATH for page in parts[part].split() if page not in APART]
    assert len(pages) >= 20
    count = {page: words(ROOT / f"docs/{page}.md") for page in ["index", *pages]}
    count["README"] = words(ROOT / "README.md")
    count["coming from"] = max(words(ROOT / f"docs/{page}.md") for page in parts["Coming from"].split())
    assert sum(count.values()) <= 15_000, sorted(count.items(), key=lambda page: page[1])
    assert words(ROOT / "docs/reference/remote-participants.md") <= 1_500


@pytest.fixture
def extension() -> ModuleType:
    path = ROOT / "docs/site_extensions/repository_links.py"
    spec = importlib.util.spec_from_file_location("repository_links", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_that_leaves_the_papers_goes_to_the_repository(extension: ModuleType) -> None:
    docs = ROOT / "docs"
    text = "See [the rules](../ARCHITECTURE.md#layers), [here](tutorial.md) and\n```md\n[code](../x)\n```\n"
    text += "[gone](../no.py)"
    linked, missing = extension.rewrite(text, page=docs / "index.md", docs=docs, url="https://example.org/tree/")
    assert linked.startswith(
        "See [the rules](https://example.org/tree/ARCHITECTURE.md#layers), [here](tutorial.md) and"
    )
    assert "[code](../x)" in linked
    assert missing == ["../no.py"]
    assert extension.rewrite(text, page=docs / "index.md", docs=docs, url="")[0].startswith("See the rules, [here]")
