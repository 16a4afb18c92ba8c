"""``make test-full`` in slices: what has passed is not run again, as long as nothing has changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.full import FullRun

#: What runs test files here: it writes down which, and one of them fails.
PROGRAM = 'for file in "$@"; do echo "$file" >>ran; echo "has run $file"; done; [ "$1" != tests/test_two.py ]'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of three test files under git."""
    (tmp_path / "tests").mkdir()
    for name in ("one", "two", "three"):
        (tmp_path / "tests" / f"test_{name}.py").touch()
    (tmp_path / ".gitignore").write_text(".run\nran\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "First")
    return tmp_path


def git(project: Path, *command: str) -> None:
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *command], cwd=project, check=True)


def full(project: Path, *, keep: bool = False, anew: bool = False) -> FullRun:
    return FullRun(project, slices=3, keep=keep, anew=anew, command=["sh", "-c", PROGRAM, "sh"])


def run_the_rest(project: Path) -> FullRun:
    """Run what has not passed, as ``make test-full`` does."""
    this = full(project)
    for number in this.to_run():
        this.run(number)
    return this


def ran(project: Path) -> set[str]:
    """Which tests have run since this was asked last."""
    file = project / "ran"
    names = {Path(line).stem.removeprefix("test_") for line in file.read_text().splitlines()}
    file.unlink()
    return names


def test_every_file_is_in_exactly_one_slice(project: Path) -> None:
    names = [name for number in (1, 2, 3) for name in full(project).files(number)]
    assert sorted(names) == ["tests/test_one.py", "tests/test_three.py", "tests/test_two.py"]


def test_failed_slices_are_run_again_and_passed_slices_are_not(project: Path) -> None:
    first = run_the_rest(project)
    assert ran(project) == {"one", "two", "three"}
    assert first.to_run() == [3]
    assert "slice 1/3: passed (has run tests/test_one.py)" in first.report()
    assert "slice 3/3: FAILED (has run tests/test_two.py)" in first.report()
    run_the_rest(project)
    assert ran(project) == {"two"}


def test_a_stopped_run_continues_with_the_remaining_slices(project: Path) -> None:
    full(project).run(1)
    ran(project)
    assert "slice 2/3: not run yet" in full(project).report()
    run_the_rest(project)
    assert ran(project) == {"two", "three"}


@pytest.mark.parametrize("change", ["another commit", "a changed file", "a new file"])
def test_a_change_begins_a_new_run_unless_results_are_kept(project: Path, change: str) -> None:
    run_the_rest(project)
    ran(project)
    if change == "another commit":
        git(project, "commit", "-qm", "Next", "--allow-empty")
    else:
        (project / "tests" / ("test_one.py" if change == "a changed file" else "new.py")).write_text("pass\n")
    assert full(project, keep=True).to_run() == [3]
    run_the_rest(project)
    assert ran(project) == {"one", "two", "three"}


def test_the_tests_of_the_shop_are_run_once_more_with_compressed_orders(project: Path) -> None:
    # Given
    (project / "tests" / "shop").mkdir()
    program = 'echo "$ORDER_LIFECYCLE $@"'
    this = FullRun(project, slices=3, command=["sh", "-c", program, "sh"])
    assert this.to_run() == [1, 2, 3, 4]
    # When
    this.run(1)
    this.run(4)
    # Then
    assert "slice 1/3: passed (tests/test_one.py)" in this.report()
    assert "slice compressed: passed (compressed tests/shop)" in this.report()


def test_all_results_are_deleted_on_request(project: Path) -> None:
    run_the_rest(project)
    assert full(project, anew=True).to_run() == [1, 2, 3]
