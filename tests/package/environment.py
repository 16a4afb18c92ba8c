"""Environments that have the wheel, and of other packages only what the wheel asks for.

``linked`` takes seconds and no network: it links what this environment has installed. ``installed`` is what people do:
pip, and an index.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import servers

#: What an environment must not have from this one.
_HIDDEN = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RABBITMQ_URL", "REDIS_URL"}


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def variables(self, **more: str) -> dict[str, str]:
        """The environment variables of a process in it: none that lead to this repository."""
        kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        return {**kept, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **more}

    def call(
        self, *arguments: str, cwd: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with arguments."""
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=cwd,
            env=self.variables(**(variables or {})),
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )

    def run(self, *arguments: str, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
        """Run Python with arguments, which must succeed; return its output."""
        done = self.call(*arguments, cwd=cwd, variables=variables)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def build(folder: Path) -> Path:
    """Build the wheel, and return its path."""
    run_hatchling("wheel", folder, cwd=servers.ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run_hatchling(target: str, folder: Path, *, cwd: Path) -> None:
    """Build a wheel or an sdist into a folder, from the source in another."""
    _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), cwd=cwd)


def linked(folder: Path, wheel: Path, *extras: str, beside: Sequence[str] = ()) -> Environment:
    """Make an environment of the wheel with extras, from the packages of this one; ``beside`` it others, by name."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=servers.ROOT)
    environment = Environment(folder)
    with ZipFile(wheel) as archive:
        archive.extractall(environment.packages)
    (metadata,) = distributions(name="django-sagas", path=[str(environment.packages)])
    wanted = [(line, extras) for line in metadata.requires or ()] + [(name, ()) for name in beside]
    for name in _closure(wanted):
        _link(name, environment.packages)
    return environment


def installed(folder: Path, *arguments: str) -> Environment:
    """Make an environment as people do, by pip with these arguments."""
    _run(sys.executable, "-m", "venv", str(folder), cwd=servers.ROOT)
    environment = Environment(folder)
    _run(str(environment.python), "-m", "pip", "install", "--quiet", *arguments, cwd=servers.ROOT)
    return environment


def _closure(wanted: Sequence[tuple[str, Sequence[str]]]) -> set[str]:
    """The names of everything that requirements need, each with the extras of the one that wants it."""
    found: set[str] = set()
    left = list(wanted)
    while left:
        line, extras = left.pop()
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or [""]):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            left += [(line, tuple(requirement.extras)) for line in distribution(name).requires or ()]
    return found


def _link(name: str, packages: Path) -> None:
    """Link what a distribution has in this environment's packages: folders and modules, and its metadata."""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        raise AssertionError(f"{name} is not installed here: scripts/bootstrap --dev") from None
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        target = packages / top
        if not target.exists():
            target.symlink_to(Path(str(distribution(name).locate_file(top))).resolve())


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def module_names(environment: Environment) -> set[str]:
    """The names of everything that can be imported in it, beside Python's own."""
    return {re.sub(r"\..*", "", entry.name) for entry in environment.packages.iterdir()}
