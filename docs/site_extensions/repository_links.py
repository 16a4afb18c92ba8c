"""Links of papers to files of the repository that are no pages of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)

_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def rewrite(source: str, *, page: Path, docs: Path, url: str) -> tuple[str, list[str]]:
    """The page with its links out of ``docs`` made absolute, or removed; and their targets that do not exist."""
    missing: list[str] = []

    def one(found: re.Match[str]) -> str:
        path, _, anchor = found["target"].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        file = (page.parent / path).resolve()
        if file.is_relative_to(docs):
            return found[0]
        if not file.exists():
            missing.append(found["target"])
        if not url:
            return found["text"]
        there = f"{url.rstrip('/')}/{file.relative_to(docs.parent)}"
        return f"[{found['text']}]({there}{'#' * bool(anchor)}{anchor})"

    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(source):
        parts += [_LINK.sub(one, source[end : fence.start()]), fence[0]]
        end = fence.end()
    parts.append(_LINK.sub(one, source[end:]))
    return "".join(parts), missing


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(name))
    source[0], missing = rewrite(source[0], page=page, docs=Path(app.srcdir), url=app.config.repository_url)
    for target in missing:
        logger.warning("no such file in the repository: %s", target, location=name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("repository_url", "", "env", types=[str])
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
