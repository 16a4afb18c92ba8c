"""Change one thing at a time in a module of the engine, and see whether its tests notice.

    python -m tests.mutation sagas/decisions/plan.py [--minutes 20]

In slices: what was done is kept in ``.run/mutation``, and the next call goes on; a module that was changed since begins
again. cosmic-ray makes the mutants; ``judge`` has one process judge them all. Survivors are printed, to be triaged in
docs/maintainers/mutation.md. It needs cosmic-ray beside the tests' own packages: ``pip install -r
requirements-mutation.txt``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.mutation.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Operators whose mutants are no other program, or no program: type annotations, decorators of declarations.
_LEFT_OUT = ["core/ReplaceBinaryOperator_BitOr_.*", "core/RemoveDecorator", "core/ReplaceBinaryOperator_.*_RShift"]
_LEFT_OUT += ["core/ReplaceBinaryOperator_.*_(LShift|BitXor|Mod|Pow|FloorDiv|Div|BitAnd|BitOr)"]
# What orders things of which nothing says that they have an order; what is the same for small integers and members.
_LEFT_OUT += ["core/ReplaceComparisonOperator_(Is|IsNot)_(Lt|LtE|Gt|GtE|Eq|NotEq)"]
_LEFT_OUT += ["core/ReplaceComparisonOperator_.*_(Is|IsNot)$(?<!Is_IsNot)(?<!IsNot_Is)"]


def main() -> int:
    """Run one slice; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=20.0, help="end the slice after so long")
    arguments = parser.parse_args()
    module: str = arguments.module
    where = ROOT / ".run" / "mutation" / module.replace("/", ".").removesuffix(".py")
    session, original = where / "session.sqlite", where / "original.py"
    if not session.exists() or original.read_bytes() != (ROOT / module).read_bytes():
        _begin(where, session, module)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutation.judge", "-p", "no:cacheprovider"]
    judged = subprocess.run(
        [*command, "--no-header", *TARGETS[module]],
        cwd=ROOT,
        env={
            **os.environ,
            "MUTATION_MODULE": module,
            "MUTATION_SESSION": str(session),
            "MUTATION_MINUTES": str(arguments.minutes),
        },
        check=False,
    )
    _report(session)
    return judged.returncode


def _begin(where: Path, session: Path, module: str) -> None:
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    shutil.copyfile(ROOT / module, where / "original.py")
    config = where / "cosmic-ray.toml"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = ["{module}"]\ntimeout = 60.0\nexcluded-modules = []\ntest-command = ""\n\n'
        '[cosmic-ray.distributor]\nname = "local"\n\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = {json.dumps(_LEFT_OUT)}\n"
    )
    _tool("cosmic-ray", "init", str(config), str(session))
    _tool("cr-filter-operators", str(session), str(config))


def _report(session: Path) -> None:
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome

    counts = Counter[str]()
    with closing(WorkDB(str(session), WorkDB.Mode.open)) as work:
        counts["not run yet"] = len(list(work.pending_work_items))
        for _, result in work.results:
            if result.worker_outcome is WorkerOutcome.NORMAL:
                counts[result.test_outcome.value] += 1
            elif result.worker_outcome is WorkerOutcome.NO_TEST:
                counts["in declarations"] += 1
            if result.test_outcome is TestOutcome.SURVIVED:
                print(result.diff, end="\n\n")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))


def _tool(name: str, *arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).with_name(name)), *arguments], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
