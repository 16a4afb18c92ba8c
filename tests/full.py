"""``make test-full``: run every test in slices, and remember which slices have passed.

    python -m tests.full [--slice 3/8 | compressed | pooled] [--keep | --anew] [arguments of pytest]

Behind the slices come two more. ``compressed``: the tests of the shop and the races once more, with all steps of an
order in one commit and with prepared statements. ``pooled``: the acceptance tests once more, through PgBouncer in
transaction mode, where it is or may be installed.

A run that was stopped, or in which slices failed, goes on with the slices that have not passed. A change of the commit
or of the work tree begins a new run, unless ``--keep`` is given. The exit code is 1 if a slice that was run failed.
Logs and results are in ``.run/test-full``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLICES = 8


@dataclass(frozen=True)
class OnceMore:
    """A slice behind the others: which tests are run once more, and with which settings."""

    name: str
    folders: tuple[str, ...]
    settings: Mapping[str, str]


ONCE_MORE = (
    OnceMore(
        "compressed",
        ("tests/shop", "tests/acceptance", "tests/races"),
        {"ORDER_LIFECYCLE": "compressed", "DATABASE_PREPARES": "on"},
    ),
    OnceMore("pooled", ("tests/acceptance",), {"DRINKGROUP_TEST_POOLED": "1"}),
)


def _has_pooler() -> bool:
    """Whether PgBouncer is here, or may be installed."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    return os.geteuid() == 0 or shutil.which("pgbouncer", path=places) is not None


@dataclass(frozen=True)
class Result:
    """What became of a slice."""

    passed: bool
    summary: str


class FullRun:
    """A run of all tests in so many slices, and the results that are known of it.

    Args:
        root: the folder in which pytest runs; its tests are in ``tests``.
        slices: how many.
        keep: keep the results of another commit or work tree.
        anew: forget all results.
        command: what runs test files, given as its last arguments.
    """

    def __init__(
        self,
        root: Path,
        *,
        slices: int = SLICES,
        keep: bool = False,
        anew: bool = False,
        command: Sequence[str] = (sys.executable, "-m", "pytest"),
    ) -> None:
        self._root = root
        self._slices = slices
        self._command = command
        self._directory = root / ".run" / "test-full"
        self._file = self._directory / f"{slices}-slices.json"
        self._code = fingerprint(root)
        self.results: dict[int, Result] = {}
        if self._file.exists() and not anew:
            known = json.loads(self._file.read_text())
            if keep or known["code"] == self._code:
                self.results = {int(number): Result(**result) for number, result in known["results"].items()}

    def files(self, number: int) -> list[str]:
        """The test files of a slice. Neighbours are in different slices, for they take about as long as each other."""
        if number > self._slices:
            return [folder for folder in self._more(number).folders if (self._root / folder).is_dir()]
        files = sorted(str(path.relative_to(self._root)) for path in (self._root / "tests").rglob("test_*.py"))
        return files[number - 1 :: self._slices]

    def to_run(self) -> list[int]:
        """The slices that have not passed."""
        return [n for n in self._numbers() if not (n in self.results and self.results[n].passed)]

    def _numbers(self) -> list[int]:
        known = range(1, self._slices + 1 + len(ONCE_MORE))
        return [n for n in known if n <= self._slices or (self.files(n) and self._is_possible(n))]

    def _more(self, number: int) -> OnceMore:
        return ONCE_MORE[number - self._slices - 1]

    def _is_possible(self, number: int) -> bool:
        return self._more(number).name != "pooled" or _has_pooler()

    def _name(self, number: int) -> str:
        return f"{number}/{self._slices}" if number <= self._slices else self._more(number).name

    def run(self, number: int) -> None:
        """Run one slice, show what it prints, and remember what became of it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        print(f"slice {self._name(number)}", flush=True)
        summary = ""
        command = [*self._command, *self.files(number)]
        with (
            self._log(number).open("w") as log,
            subprocess.Popen(
                command,
                cwd=self._root,
                env=os.environ | dict(self._more(number).settings if number > self._slices else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as tests,
        ):
            assert tests.stdout is not None
            for line in tests.stdout:
                print(line, end="", flush=True)
                log.write(line)
                summary = line.strip(" =\n") or summary
        self.results[number] = Result(tests.returncode == 0, summary)
        self._save()

    def report(self) -> str:
        """What is known of each slice, a line each."""
        lines = []
        for number in self._numbers():
            result = self.results.get(number)
            known = f"{'passed' if result.passed else 'FAILED'} ({result.summary})" if result else "not run yet"
            lines.append(f"slice {self._name(number)}: {known}")
            if result and not result.passed:
                lines[-1] += f", {self._log(number).relative_to(self._root)}"
        return "\n".join(lines)

    def _log(self, number: int) -> Path:
        """What a slice printed when it was run last."""
        return self._directory / f"slice-{self._name(number).replace('/', '-of-')}.log"

    def _save(self) -> None:
        """Write the results; a process that is killed here leaves the old ones."""
        known = {"code": self._code, "results": {number: asdict(result) for number, result in self.results.items()}}
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(known, indent=1))
        draft.replace(self._file)


def fingerprint(root: Path) -> str:
    """A digest of the commit, of what was changed since, and of the files that git does not know yet."""
    digest = hashlib.sha256()
    for command in (["rev-parse", "HEAD"], ["diff", "HEAD", "--binary"]):
        digest.update(_git(root, *command))
    for name in _git(root, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0"):
        path = root / name.decode()
        if name and path.is_file():
            digest.update(name + path.read_bytes())
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout


def main() -> int:
    """Run the slices that are asked for and have not passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.full", description=__doc__)
    parser.add_argument("--slice", metavar="K/N", help="run only this one, whether or not it has passed")
    parser.add_argument("--keep", action="store_true", help="keep the results of another commit or work tree")
    parser.add_argument("--anew", action="store_true", help="forget all results")
    asked, arguments = parser.parse_known_args()
    number, slices = _parsed(asked.slice) if asked.slice else (None, SLICES)
    command = [sys.executable, "-m", "pytest", *arguments]
    full = FullRun(ROOT, slices=slices, keep=asked.keep, anew=asked.anew, command=command)
    wanted = [number] if number else full.to_run()
    for each in wanted:
        full.run(each)
    print(full.report())
    return int(any(each in full.to_run() for each in wanted))


def _parsed(text: str) -> tuple[int, int]:
    """Which slice of how many: ``3/8``, or one of those behind all."""
    names = [more.name for more in ONCE_MORE]
    if text in names:
        return SLICES + 1 + names.index(text), SLICES
    number, _, slices = text.partition("/")
    if not (number.isdecimal() and slices.isdecimal() and 1 <= int(number) <= int(slices)):
        msg = f"--slice is K/N, as 3/8, or {' or '.join(names)}, and not {text!r}"
        raise SystemExit(msg)
    return int(number), int(slices)


if __name__ == "__main__":
    sys.exit(main())
