"""Read the papers: their code blocks, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w{}-]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str

    @property
    def title(self) -> str:
        """What the comment in the first line says: a file, or where it is run."""
        return self.text.partition("\n")[0].removeprefix("# ")


def name(paper: Path) -> str:
    """Its path in the repository."""
    return str(paper.relative_to(ROOT))


def blocks(paper: str, language: str) -> list[Block]:
    """List the unindented blocks of one language."""
    text = (ROOT / paper).read_text()
    return [
        Block(found["language"], found["text"])
        for found in _FENCE.finditer(text)
        if found["language"] == language and not found["indent"]
    ]


def all_blocks(paper: Path) -> list[Block]:
    """List the unindented blocks of every language, in their order."""
    return [
        Block(found["language"], found["text"]) for found in _FENCE.finditer(paper.read_text()) if not found["indent"]
    ]


def prose(paper: Path) -> str:
    """The paper without its code blocks."""
    return _FENCE.sub("", paper.read_text())


def words(paper: Path) -> int:
    """How many words a reader reads there: text, lists and tables; no code, no targets of links, nothing generated."""
    text = re.sub(r"<!-- [^>]*?: (?:python|make) .*?<!-- end of [^>]* -->", "", prose(paper), flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return sum(bool(re.search(r"\w", word)) for word in re.sub(r"\]\([^)]*\)", "]", text).split())


def headings(paper: Path) -> list[str]:
    """List the headings, of every level."""
    return re.findall(r"^#+ (.+)$", prose(paper), re.MULTILINE)


def anchors(paper: Path) -> set[str]:
    """List the anchors that GitHub makes of the headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(paper)}


def links(paper: Path) -> Iterator[tuple[str, str]]:
    """Give text and target of each link that stays inside the repository."""
    for found in _LINK.finditer(prose(paper)):
        if not re.match(r"[a-z]+:", found["target"]):
            yield found["text"], found["target"]


def table(paper: str, first: str) -> list[list[str]]:
    """Read the rows of the table whose first column is headed ``first``, cell by cell."""
    lines = (ROOT / paper).read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows
