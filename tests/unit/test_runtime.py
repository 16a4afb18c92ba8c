"""What a process keeps between two calls is in ``sagas.runtime``, and can be forgotten there."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import sagas
from sagas import Confirmation, Saga, runtime
from sagas.engine.outside import remote_threads
from sagas.remote import HttpParticipant, lanes

ENGINE = Path(sagas.__file__).parent
#: What is filled while its own module is imported, and not changed after that.
FILLED_AT_IMPORT = {"remote/conformance/checks.py: CHECKS"}
#: The test kit runs in the process of a test, and has its own.
NOT_LOOKED_AT = {"migrations", "testing"}
_EMPTY = {"dict", "list", "set", "defaultdict", "deque", "local", "Lock"}


def kept(path: Path) -> Iterator[str]:
    """Names of a module that can only be there to change: empty containers, locks, and what ``global`` rebinds."""
    where = path.relative_to(ENGINE)
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from (f"{where}: {name}" for name in node.names)
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_empty(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (f"{where}: {ast.unparse(target)}" for target in targets)


def is_empty(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in _EMPTY
    return (isinstance(value, ast.List | ast.Set) and not value.elts) or (
        isinstance(value, ast.Dict) and not value.keys
    )


def test_no_other_module_keeps_state() -> None:
    paths = [path for path in ENGINE.rglob("*.py") if not NOT_LOOKED_AT & set(path.relative_to(ENGINE).parts)]
    found = {name for path in paths for name in kept(path)}
    own = {name for name in found if name.startswith("runtime.py")}
    # A limit of one thread for the length of a block
    assert found - own - FILLED_AT_IMPORT == {"postgresql/watchdog.py: _limit"}
    assert own == {"runtime.py: declared", "runtime.py: memory", "runtime.py: own"}


def test_learnt_state_can_be_reset() -> None:
    runtime.memory.recorded.add(("shop.PlaceOrder", 1, 1))
    runtime.memory.redis_paused_until = 1e9
    runtime.reset()
    assert runtime.memory == runtime.Memory()


def test_state_declared_inside_a_block_is_forgotten() -> None:
    runtime.memory.recorded.add(("shop.PlaceOrder", 1, 1))
    declared = dict(runtime.declared.definitions)
    with runtime.apart():
        assert not runtime.memory.recorded

        class Passing(Saga[dict[str, str]]):
            paid = Confirmation(within=timedelta(seconds=5))
            step = sagas.Step(lambda _: None, compensate=lambda _: None, queue="orders")

        assert Passing.name in {name for name, _ in runtime.declared.definitions}
    assert runtime.declared.definitions == declared
    assert runtime.memory.recorded == {("shop.PlaceOrder", 1, 1)}


def test_a_forked_child_has_no_threads_of_its_parent() -> None:
    lanes.lane_of(HttpParticipant("points", "http://points.example").post("/debits"))
    # The child of a process in which somebody has just taken the lock
    with runtime.own.lock:
        pid = os.fork()
        if pid == 0:
            # Nothing may be raised here, nor a test's end be reached.
            code = 1
            try:
                code = (
                    0
                    if lanes.count_calls() == 0 and not runtime.own.lanes and remote_threads.drain_remote_calls(0)
                    else 2
                )
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
