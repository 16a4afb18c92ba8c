"""Holds a line of the log to the index template, as a strict index of Elasticsearch would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from tests.support.servers import ROOT

TEMPLATE = ROOT / "deploy/logs/index-template.json"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "keyword": str,
    "match_only_text": str,
    "wildcard": str,
    "constant_keyword": str,
    "long": int,
}


def nested(line: str) -> dict[str, Any]:
    """A line as Elasticsearch reads it: a name with dots is a path."""
    read: dict[str, Any] = {}
    for name, value in json.loads(line).items():
        inner, *path = reversed(name.split("."))
        found = value
        for outer in path:
            inner, found = outer, {inner: found}
        read[inner] = read[inner] | found if isinstance(read.get(inner), dict) else found
    return read


def problems_of(line: str) -> list[str]:
    """What the index would refuse in a line; nothing if it takes it."""
    mapping = json.loads(TEMPLATE.read_text())["template"]["mappings"]
    return [*_compared(nested(line), mapping, "")]


def _compared(value: Mapping[str, Any], mapping: Mapping[str, Any], path: str) -> Iterator[str]:
    known = mapping.get("properties", {})
    for name, inner in value.items():
        where = f"{path}{name}"
        wanted = known.get(name)
        if wanted is None:
            if mapping.get("dynamic") != "true":
                yield f"{where} is not mapped"
            elif not isinstance(inner, str):
                yield f"{where} is no text"
        elif "properties" in wanted or wanted.get("type") == "object":
            if isinstance(inner, Mapping):
                yield from _compared(inner, wanted, f"{where}.")
            else:
                yield f"{where} is no object"
        else:
            yield from _of_type(inner, wanted["type"], where)


def _of_type(value: Any, kind: str, where: str) -> Iterator[str]:
    if kind == "date":
        datetime.fromisoformat(value)
        return
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool) or not isinstance(each, _TYPES[kind]):
            yield f"{where} is {each!r}, and no {kind}"
