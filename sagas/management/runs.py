"""``manage.py sagas list``: the runs that a line describes, as the list in the admin finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db.models import QuerySet

from sagas.models import Run
from sagas.operations.search.line import BadLine
from sagas.operations.search.runs import LATEST, find

#: The most runs that are listed at once.
MOST = 1000
_COLUMNS = ("id", "state", "saga", "business_key", "created_at", "attempt", "due_at")


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "line",
        nargs="*",
        help="Such as: state:compensating age:>5m step:apply_coupon error:timeout key:ORD-1. Quote > and < for the "
        "shell. Without it, all runs.",
    )
    parser.add_argument("--limit", type=int, default=50, help=f"Runs, the newest first (50; at most {MOST}).")
    parser.add_argument("--json", action="store_true", dest="as_json", help="One object a line.")


def run(out: OutputWrapper, *, line: Sequence[str], limit: int, as_json: bool, **_: Any) -> None:
    """List them."""
    if not 1 <= limit <= MOST:
        msg = f"--limit {limit}: between 1 and {MOST}"
        raise CommandError(msg)
    asked = " ".join(f'"{word}"' if " " in word and ":" not in word else word for word in line)
    try:
        found = find(asked)
    except BadLine as bad:
        marks = "".join("^" if any(m.start <= at < m.end for m in bad.mistakes) else " " for at in range(len(bad.line)))
        msg = f"{bad}\n  {bad.line}\n  {marks.rstrip()}"
        raise CommandError(msg) from bad
    rows = _rows(found.runs, limit)
    if as_json:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False))
        return
    widths = {name: max([len(name), *(len(_text(row[name])) for row in rows)]) for name in _COLUMNS}
    out.write("  ".join(name.ljust(widths[name]) for name in _COLUMNS).rstrip())
    for row in rows:
        out.write("  ".join(_text(row[name]).ljust(widths[name]) for name in _COLUMNS).rstrip())
    looked = f", of the newest {LATEST:,}" if found.bounded else ""
    more = "; there may be more: --limit" if len(rows) == limit else ""
    out.write(f"{len(rows)} run(s){looked}{more}")


def _rows(runs: QuerySet[Run], limit: int) -> list[dict[str, Any]]:
    values = runs.order_by("-id").values(*_COLUMNS)[:limit]
    return [
        {
            **row,
            "id": str(row["id"]),
            "created_at": row["created_at"].isoformat(timespec="milliseconds"),
            "due_at": row["due_at"].isoformat(timespec="milliseconds") if row["due_at"] else None,
        }
        for row in values
    ]


def _text(value: object) -> str:
    return "" if value is None else str(value)
