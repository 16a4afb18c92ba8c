"""The paper has every race, and no other."""

from __future__ import annotations

import re
from types import ModuleType

from tests.docs.papers import table
from tests.races import test_barrier, test_cohorts, test_decisions, test_families, test_lines, test_shared_decisions

MODULES: list[ModuleType] = [
    test_barrier,
    test_cohorts,
    test_decisions,
    test_families,
    test_lines,
    test_shared_decisions,
]


def test_the_guarantees_name_every_race() -> None:
    said = [
        name for row in table("docs/maintainers/evidence.md", "race") for name in re.findall(r"`(test_\w+)`", row[-1])
    ]
    driven = [name for module in MODULES for name in vars(module) if name.startswith("test_")]
    assert sorted(said) == sorted(driven)
