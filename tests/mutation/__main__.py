"""Change one thing at a time in a module of the engine, and see whether its tests notice.

    python -m tests.mutation sagas/plan.py [--minutes 20]

In slices: what was done is kept in ``.run/mutation``, and the next call goes on. It works on a copy of the checkout,
for cosmic-ray writes each mutant into the file itself. Survivors are printed, to be triaged in docs/mutation.md.
It needs cosmic-ray beside the tests' own packages: ``pip install -r requirements-mutation.txt``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.mutation.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Operators whose mutants are no other program, or no program: type annotations, decorators of declarations.
_LEFT_OUT = ["core/ReplaceBinaryOperator_BitOr_.*", "core/RemoveDecorator", "core/ReplaceBinaryOperator_.*_RShift"]
_LEFT_OUT += ["core/ReplaceBinaryOperator_.*_(LShift|BitXor|Mod|Pow|FloorDiv|Div|BitAnd|BitOr)"]


def main() -> int:
    """Run one slice; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=20.0, help="end the slice after so long")
    arguments = parser.parse_args()
    where = ROOT / ".run" / "mutation" / arguments.module.replace("/", ".").removesuffix(".py")
    session, config = where / "session.sqlite", where / "cosmic-ray.toml"
    if not session.exists():
        _begin(where, session, config, arguments.module)
    # A slice that was broken off may have left a mutant in the copy.
    shutil.copyfile(where / "original.py", where / "copy" / arguments.module)
    with _servers(where):
        # Where the tests fail without a mutant, every mutant would count as found.
        _tool("cosmic-ray", "baseline", str(config), cwd=where / "copy")
        _exec(where, session, config, arguments.minutes)
    return _report(session)


def _begin(where: Path, session: Path, config: Path, module: str) -> None:
    copy = where / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".run", ".git", ".venv", ".*_cache"), symlinks=True)
    shutil.copyfile(ROOT / module, where / "original.py")
    tests = " ".join(TARGETS[module])
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider --no-header --timeout 120 {tests}"
    left_out = json.dumps(_LEFT_OUT)
    config.write_text(
        f'[cosmic-ray]\nmodule-path = ["{module}"]\ntimeout = 300.0\nexcluded-modules = []\n'
        f"test-command = {json.dumps(command)}\n\n"
        '[cosmic-ray.distributor]\nname = "local"\n\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = {left_out}\n"
    )
    _tool("cosmic-ray", "init", str(config), str(session), cwd=copy)
    _tool("cr-filter-operators", str(session), str(config), cwd=copy)


class _servers:
    """Servers that all mutants share: each has a test database of its own in them."""

    def __init__(self, where: Path) -> None:
        self._directory = where / "servers"

    def __enter__(self) -> None:
        self._services("start")
        for line in (self._directory / "services.env").read_text().splitlines():
            name, separator, value = line.partition("=")
            if separator and not name.startswith("#"):
                os.environ[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
        # As tests/support/servers.py marks a session whose servers somebody else has started.
        os.environ["DRINKGROUP_TEST_SERVERS"] = str(self._directory)

    def __exit__(self, *_: object) -> None:
        self._services("destroy")

    def _services(self, verb: str) -> None:
        command = [sys.executable, str(ROOT / "scripts" / "services"), "--ignore-environment", "--dir"]
        subprocess.run([*command, str(self._directory), verb], check=True, capture_output=True)


def _exec(where: Path, session: Path, config: Path, minutes: float) -> None:
    command = [str(_program("cosmic-ray")), "exec", str(config), str(session)]
    running = subprocess.Popen(command, cwd=where / "copy")
    try:
        running.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
        running.wait()


def _report(session: Path) -> int:
    shown = subprocess.run(
        [str(_program("cr-report")), "--show-diff", "--surviving-only", str(session)],
        check=True,
        text=True,
        capture_output=True,
    )
    print(shown.stdout)
    return 0


def _tool(name: str, *arguments: str, cwd: Path) -> None:
    subprocess.run([str(_program(name)), *arguments], check=True, cwd=cwd)


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


if __name__ == "__main__":
    sys.exit(main())
