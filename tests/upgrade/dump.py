"""The times in the dumps of ``before``, moved forward by the dumps' age.

A deadline, a slot and a coupon's last day are then as far away as when the dump was made, whatever the day is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tests.upgrade import BEFORE

_MADE = re.compile(r"INSERT INTO public\.upgrade_made VALUES\s+\('([^']+)'\)")
#: As pg_dump writes a timestamptz in UTC, and as the JSON in a run's columns has one.
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?\+00(?::00)?")
#: Until when a step waits; in seconds since 1970.
_UNTIL = re.compile(r'(?<="until": )\d+(?:\.\d+)?')


def age() -> timedelta:
    """Return how long ago the dumps were made."""
    made = _MADE.search((BEFORE / "default.sql").read_text())
    assert made
    return datetime.now(UTC) - datetime.fromisoformat(made[1])


def as_if_made_now(sql: str, age: timedelta) -> str:
    """Move every time in a dump forward by its age."""
    moved = _TIME.sub(lambda found: _moved(found[0], age), sql)
    return _UNTIL.sub(lambda found: str(float(found[0]) + age.total_seconds()), moved)


def _moved(time: str, age: timedelta) -> str:
    return (datetime.fromisoformat(time) + age).isoformat(sep=time[10])
