"""The page of versions is what the recorded results say."""

from __future__ import annotations

from tests import versions
from tests.versions import ENVIRONMENTS, PARTS, Result, Results


def test_the_page_is_written_from_the_results() -> None:
    assert versions.PAGE.read_text() == Results().page(), "python -m tests.versions --write"


def test_results_are_of_environments_and_parts_that_there_are() -> None:
    results = Results()
    names = {environment.name for environment in ENVIRONMENTS}
    assert set(results.versions) <= names
    assert set(results.parts) <= set(results.versions)
    assert {part for parts in results.parts.values() for part in parts} <= set(PARTS)
    assert all((versions.ROOT / part).is_dir() for part in PARTS)


def test_what_was_not_run_and_what_failed_is_said() -> None:
    results = Results()
    results.parts = {
        ENVIRONMENTS[0].name: {PARTS[0]: Result(passed=False, summary="1 failed", day="2026-11-30", commit="abc1234")}
    }
    lines = results.page().splitlines()
    (first,) = [line for line in lines if line.startswith(f"| `{PARTS[0]}`")]
    assert first.split(" | ")[1:3] == ["**failed**: 1 failed (2026-11-30)", "not run"]


def test_a_package_that_is_replaced_is_neither_required_nor_pinned() -> None:
    for environment in ENVIRONMENTS:
        wanted, pins = environment._requirements()
        for name, replacement in environment.replaces.items():
            assert [line for line in wanted if line.startswith(f"{name}==")] == (
                [replacement] if replacement.startswith(f"{name}==") else []
            )
            assert not [line for line in pins if line.startswith(f"{name}==")]
            assert replacement in wanted
