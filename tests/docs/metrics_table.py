"""All metrics as tables in the reference, from the code that declares them.

``python -m tests.docs.metrics_table`` writes them.
"""

from __future__ import annotations

import os

from tests.docs.papers import ROOT

PAPER = ROOT / "docs/reference/metrics.md"
BEGIN, END = "<!-- the metrics: python -m tests.docs.metrics_table -->", "<!-- end of the metrics -->"


def declared() -> dict[str, list[tuple[str, str, str, str]]]:
    """Name, kind, labels and text of each metric: those of the engine, and those of the shop."""
    from sagas import runtime
    from sagas.messaging import gauges  # noqa: F401 - registers what RabbitMQ has
    from sagas.observability import gauges as _own  # noqa: F401 - registers the engine's

    found: dict[str, list[tuple[str, str, str, str]]] = {"sagas": [], "shop": []}
    for name, one in sorted(runtime.declared.instruments.items()):
        labels = ", ".join(f"`{label}`" for label in one.labels)
        if (owner := name.partition("_")[0]) in found:
            found[owner].append((name, one.kind.value, labels, one.text))
    return found


def tables() -> str:
    """The generated part of the page."""
    parts = []
    for title, rows in zip(("The engine's", "The shop's"), declared().values(), strict=True):
        lines = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows]
        parts.append(
            "\n".join([f"## {title}\n", "| metric | kind | labels | what it says |", "|---|---|---|---|", *lines])
        )
    return "\n\n".join(parts)


def write() -> None:
    """Write them into the page."""
    before, _, rest = PAPER.read_text().partition(BEGIN)
    PAPER.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.static_settings")
    import django

    django.setup()
    write()
