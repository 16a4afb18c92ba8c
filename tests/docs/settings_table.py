"""The keys of ``SAGAS`` as a table in the reference, from the docstring of ``Config``: it has units and meanings.

``python -m tests.docs.settings_table`` writes it.
"""

from __future__ import annotations

import inspect
import os
import re
from dataclasses import MISSING, Field, fields
from typing import Any

from tests.docs.papers import ROOT

PAPER = ROOT / "docs/reference/settings.md"
BEGIN, END = "<!-- the keys: python -m tests.docs.settings_table -->", "<!-- end of the keys -->"

#: Where a key leads to.
_MORE = {
    "broker": "../how-to/run-without-a-broker.md",
    "listen_database": "where-it-runs.md#pgbouncer",
    "admission": "../adr/0045-admission-by-expected-wait.md",
    "carriers": "../maintainers/four-variants.md",
    "callback_secret": "../how-to/define-a-saga.md#steps-that-take-longer",
    "escalation_urls": "https://github.com/caronc/apprise",
    "breaker_windows": "../how-to/runbook.md#a-participant-that-keeps-breaking",
    "guard_ttl": "../adr/0023-redis-in-front-of-the-undo.md",
    "retention": "../how-to/retention.md",
}


def described() -> dict[str, tuple[str, str]]:
    """By key in lower case, its unit and its meaning, as the docstring has them."""
    from sagas.conf import Config

    text = inspect.getdoc(Config) or ""
    lines = re.sub(r"\n {8,}", " ", text.partition("Attributes:\n")[2])
    found = re.findall(r"^ {4}(\w+) \(([^)]+)\): (.+)\.$", lines, re.MULTILINE)
    return {key: (_marked(unit), _marked(meaning)) for key, unit, meaning in found}


def render() -> str:
    """What stands between the two marks."""
    from sagas.conf import Config

    known = described()
    lines = [BEGIN, "", "| key | unit | default | what it is |", "|---|---|---|---|"]
    defaults = {field.name: _default(field) for field in fields(Config)}
    for key in [*known, *(defaults.keys() - known.keys())]:
        unit, meaning = known[key]
        more = f" ([more]({_MORE[key]}))" if key in _MORE else ""
        lines.append(f"| `{key.upper()}` | {unit} | {defaults[key]} | {meaning}{more} |")
    return "\n".join([*lines, "", END])


def _default(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"`{field.default!r}`"
    return f"`{field.default_factory()!r}`" if field.default_factory is not MISSING else "required"


def _marked(text: str) -> str:
    return text.replace("``", "`")


def written() -> str:
    """What the paper has there."""
    text = PAPER.read_text()
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def write() -> None:
    """Write it."""
    PAPER.write_text(PAPER.read_text().replace(written(), render()))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.static_settings")
    import django

    django.setup()
    write()
