"""What an ordinary user meets whose home, or folder, cannot be written: one line, and nothing half-made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from private_services import ports

from tests.support import servers

NOBODY = 65534
RUN = servers.ROOT / "scripts" / "run"
SERVICES = servers.ROOT / "scripts" / "services"


def _as_user() -> list[str]:
    """What runs a command as a user who is not root: nothing, if that is the user of the tests."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that this user may run, too: root's own may be in root's home."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("setpriv is not there: root cannot become another user")
    # Through env, for setpriv itself may still pass through private folders.
    program = "import sys; sys.exit(sys.version_info < (3, 11) or not open(sys.argv[1]).read())"
    for found in (sys.executable, "/usr/bin/python3"):
        tried = subprocess.run([*_as_user(), "env", found, "-c", program, RUN], capture_output=True, check=False)
        if tried.returncode == 0:
            return found
    pytest.skip("other users have no Python, or cannot read this repository")


@pytest.fixture
def folder(python: str) -> Iterator[Path]:
    """A folder of that user, which every user can reach."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    for path in made.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(made)


def read_only(folder: Path) -> Path:
    """A home in which nothing can be made."""
    home = folder / "home"
    home.mkdir(mode=0o555)
    return home


def run(command: Sequence[str | Path], home: Path) -> subprocess.CompletedProcess[str]:
    own = {"DATABASE_URL", "RABBITMQ_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    told = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(
        [*_as_user(), "env", *map(str, command)],
        env={**told, "HOME": str(home), "PORT": str(ports.choose(taken=())), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("embedded", [[], ["--embedded"]])
def test_the_platform_in_a_read_only_home_says_so_in_one_line_and_makes_nothing(
    embedded: list[str], folder: Path, python: str
) -> None:
    home = read_only(folder)
    answer = run([python, RUN, "--dir", home / "run", *embedded], home)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"{home / 'run'} cannot be written (Permission denied). "
        "Run this in a folder of your own, or give one: --dir DIR\n"
    )
    assert answer.stdout == ""
    assert list(home.iterdir()) == []


def test_servers_in_a_read_only_home_say_so_in_one_line_and_make_nothing(folder: Path, python: str) -> None:
    home = read_only(folder)
    answer = run([python, SERVICES, "--ignore-environment", "--dir", home / "servers", "start"], home)
    assert answer.returncode == 1
    assert f"{home / 'servers'} cannot be written (Permission denied)." in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert list(home.iterdir()) == []


def test_bootstrap_in_a_read_only_clone_says_so_in_one_line_and_makes_nothing(folder: Path) -> None:
    # Given a clone that its user cannot write
    clone = folder / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(servers.ROOT / "scripts" / "bootstrap", clone / "scripts")
    clone.chmod(0o555)
    # Then
    answer = run([clone / "scripts" / "bootstrap"], folder)
    assert answer.returncode == 2
    assert answer.stderr == (
        f"bootstrap: {clone}/.run cannot be written: free some space, or clone this into a folder of your own.\n"
    )
    assert [path.name for path in clone.iterdir()] == ["scripts"]


@pytest.mark.slow
def test_a_read_only_home_keeps_no_server_from_starting_in_a_folder_of_ones_own(folder: Path, python: str) -> None:
    home, own = read_only(folder), folder / "servers"
    services: list[str | Path] = [python, SERVICES, "--ignore-environment", "--dir", own]
    try:
        answer = run([*services, "start"], home)
        assert answer.returncode == 0, answer.stderr
        assert list(home.iterdir()) == []
    finally:
        answer = run([*services, "destroy"], home)
    assert answer.returncode == 0, answer.stderr
    assert not own.exists()
