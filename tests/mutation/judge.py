"""pytest plugin: run the collected tests once for each mutant, and note in cosmic-ray's session which noticed.

A mutant that no test notices has survived. The tests run once without one first: where they fail, nothing can be said.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

from tests.mutation.swap import NotSwappable, swapped

MODULE, SESSION, MINUTES = "MUTATION_MODULE", "MUTATION_SESSION", "MUTATION_MINUTES"

#: Seconds that a test may take. A mutant that waits for ever is noticed.
_LONGEST = 60


class TooLong(Exception):
    """A test does not end."""


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Stand in for pytest's own loop."""
    path = Path(os.environ[MODULE])
    module, source = importlib.import_module(".".join(path.with_suffix("").parts)), path.read_text()
    end = time.monotonic() + 60 * float(os.environ[MINUTES])
    signal.signal(signal.SIGALRM, _too_long)
    if failed := _failure(session):
        pytest.exit(f"without a mutant: {failed}", returncode=1)
    with closing(WorkDB(os.environ[SESSION], WorkDB.Mode.open)) as work:
        for item in list(work.pending_work_items):
            if time.monotonic() > end:
                break
            work.set_result(item.job_id, _judge(session, module, source, item.mutations[0]))
    return True


def _judge(session: pytest.Session, module: ModuleType, source: str, mutation: MutationSpec) -> WorkResult:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    mutant = mutate_code(source, operator, mutation.occurrence)
    lines = difflib.unified_diff(source.splitlines(), mutant.splitlines(), module.__name__, "mutant", lineterm="", n=1)
    diff = "\n".join(lines)
    try:
        with swapped(module, source, mutant):
            failed = _failure(session)
    except (NotSwappable, SyntaxError):
        return WorkResult(WorkerOutcome.NO_TEST, diff=diff)
    if failed and (broken := _failure(session, failed[:1])):
        # It fails without the mutant too: what the mutant has left behind must not count against the next.
        pytest.exit(f"after a mutant: {broken}", returncode=1)
    outcome = TestOutcome.KILLED if failed else TestOutcome.SURVIVED
    return WorkResult(WorkerOutcome.NORMAL, output=str(failed), test_outcome=outcome, diff=diff)


def _failure(session: pytest.Session, only: Sequence[str] = ()) -> tuple[str, str] | None:
    """Run the tests until one fails: which, and how."""
    items = [item for item in session.items if not only or item.nodeid in only]
    # What runs next is the first; but were it told to be followed by itself, its fixtures would not be made again.
    after = session.items[1 if items[-1] is session.items[0] else 0]
    for item, following in zip(items, [*items[1:], after], strict=True):
        signal.setitimer(signal.ITIMER_REAL, _LONGEST)
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        failed = next((report for report in reports if report.failed), None)
        if failed is not None:
            session._setupstate.teardown_exact(session.items[0])
            return item.nodeid, f"{failed.when}: {failed.longreprtext[-1500:]}"
    return None


def _too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TooLong
