"""A ``sagas`` module that raises at import: the process lives, and says so. In processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import broken, servers


@pytest.fixture
def broken_app(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that has such an app installed."""
    return {**servers.worker_environment(), **broken.install(tmp_path)}


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        env=environment,
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_reports_a_sagas_module_that_fails_to_import(broken_app: dict[str, str]) -> None:
    done = manage(broken_app, "check")
    assert done.returncode == 1
    assert "sagas.E003" in done.stderr
    assert "brokenapp.sagas cannot be imported: RuntimeError: not today (line 3)" in done.stderr
    assert "HINT: Repair the module" in done.stderr


def test_a_failed_import_is_logged_once_and_the_other_sagas_are_known(broken_app: dict[str, str]) -> None:
    code = (
        "from sagas.definition import registry; from sagas.errors import UnknownSaga\n"
        "print(registry.find_registered('lab.Lab', 1).name)\n"
        "try: registry.find_registered('brokenapp.Order', 1)\n"
        "except UnknownSaga as error: print(error)\n"
    )
    done = manage(broken_app, "shell", "--no-imports", "-c", code)
    assert done.returncode == 0, done.stderr
    assert "lab.Lab" in done.stdout
    # Whoever meets a run of it is told where to look.
    assert "no saga 'brokenapp.Order' version 1 is known here (brokenapp.sagas: not today)" in done.stdout
    assert (done.stdout + done.stderr).count("brokenapp.sagas cannot be imported") == 1
