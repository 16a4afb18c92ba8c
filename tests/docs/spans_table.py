"""The attributes and the names of spans as tables in the reference, from the module that has them.

``python -m tests.docs.spans_table`` writes them.
"""

from __future__ import annotations

import inspect
import re

from sagas.observability import names
from tests.docs.papers import ROOT

PAPER = ROOT / "docs/reference/spans.md"
BEGIN, END = "<!-- spans: python -m tests.docs.spans_table -->", "<!-- end of the spans -->"


def render() -> str:
    """What stands between the two marks."""
    source = inspect.getsource(names)
    lines = [BEGIN, "", "| attribute | what it is |", "|---|---|"]
    for about, constant in re.findall(r"((?:^#: [^\n]+\n)+)(\w+) = ", source, re.MULTILINE):
        value = getattr(names, constant)
        if "." in value:
            lines.append(f"| `{value}` | {_marked(about)} |")
    lines += ["", "| span | example | what it is |", "|---|---|---|"]
    lines.append(f"| start | `{names.START}` | The start of a run outside any trace: the trace begins with it. |")
    for function, example in _examples().items():
        about = inspect.getdoc(getattr(names, function)) or ""
        lines.append(f"| {function} | {example} | {about} |")
    return "\n".join([*lines, "", END])


def _examples() -> dict[str, str]:
    from sagas.store.moves import Entry, event_entry

    operation = names.operation(Entry("try", "DONE", step="reserve_inventory"))
    event = names.operation(event_entry("confirmation", step="payment"))
    return {
        "operation": f"`{operation}`, `{event}`",
        "wait": f"`{names.wait('payment')}`",
        "call": f"`{names.call('debit', 'forward')}`",
    }


def _marked(about: str) -> str:
    return " ".join(about.replace("#:", "").split())


def written() -> str:
    """What stands there now, with the marks."""
    found = re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", PAPER.read_text(), re.DOTALL)
    return found[0] if found else ""


if __name__ == "__main__":
    import django

    django.setup()
    PAPER.write_text(PAPER.read_text().replace(written(), render()))
