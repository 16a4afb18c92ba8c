"""The type checker refuses a saga whose request lacks what a resource reads, and accepts the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: No Python file: the project itself has no error.
SAMPLE = Path(__file__).with_name("misfit_sample.txt")
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_mypy_refuses_each_resource_that_does_not_fit_its_saga_and_nothing_else(tmp_path: Path) -> None:
    # Given
    text = SAMPLE.read_text()
    sample = tmp_path / "sample.py"
    sample.write_text(text)
    marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# misfit")]

    # When
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", str(sample)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    # Then
    errors = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if ": error:" in line}
    assert errors == set(marked), checked.stdout + checked.stderr
