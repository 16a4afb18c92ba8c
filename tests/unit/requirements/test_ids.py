"""The id of a system check means one thing."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import sagas

_ID = re.compile(r'"(?:sagas\.)?([EW]\d{3})"')


def test_no_two_modules_or_distant_places_give_the_same_id() -> None:
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    root = Path(sagas.__file__).parent
    for path in root.rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines()):
            for found in _ID.findall(line):
                places[found].append((str(path.relative_to(root)), number))
    assert len(places) > 30
    for found, where in places.items():
        assert len({path for path, _ in where}) == 1, f"{found}: {where}"
        # Two wordings of one fault stand in one function.
        assert max(number for _, number in where) - min(number for _, number in where) < 30, f"{found}: {where}"
