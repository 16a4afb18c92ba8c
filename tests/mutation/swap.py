"""Mutants without a new process: the code of a loaded module's functions, and its constants, are swapped.

A process that has its servers, its database and its tests at hand judges a mutant in seconds. What stands in a class's
body or a decorator is not swapped: it was read when the module was loaded.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any, TypeGuard

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class NotSwappable(Exception):
    """The difference is where it cannot be swapped in: in a declaration."""


@contextmanager
def swapped(module: ModuleType, original: str, mutant: str) -> Iterator[None]:
    """Have the module behave as its mutant says, inside the block.

    Raises:
        NotSwappable: it cannot; nothing was changed.
    """
    changes = list(_changes(module, original, mutant))
    if not changes:
        raise NotSwappable
    with ExitStack() as stack:
        for change in changes:
            stack.callback(change())
        yield


#: Makes a change, and gives what takes it back.
_Change = Callable[[], Callable[[], None]]


def _changes(module: ModuleType, original: str, mutant: str) -> Iterator[_Change]:
    before, after = ast.parse(original).body, ast.parse(mutant).body
    for old, new in zip(before, after, strict=True):
        if ast.dump(old) == ast.dump(new):
            continue
        if _is_function(new):
            yield _of_function(module, vars(module)[new.name], new)
        elif isinstance(new, ast.ClassDef) and isinstance(old, ast.ClassDef):
            yield from _of_class(module, old, new)
        elif isinstance(new, ast.Assign | ast.AnnAssign):
            yield _of_constant(module, new)
        else:
            raise NotSwappable


def _is_function(node: ast.stmt) -> TypeGuard[_Function]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _of_class(module: ModuleType, old: ast.ClassDef, new: ast.ClassDef) -> Iterator[_Change]:
    if list(map(ast.dump, old.decorator_list)) != list(map(ast.dump, new.decorator_list)):
        raise NotSwappable
    for one, other in zip(old.body, new.body, strict=True):
        if ast.dump(one) != ast.dump(other):
            if not _is_function(other):
                raise NotSwappable
            found = vars(vars(module)[new.name])[other.name]
            yield _of_function(module, found, other)


def _of_function(module: ModuleType, found: Any, node: _Function) -> _Change:
    function = _bare(found)
    node.decorator_list = []
    # What its annotations say is nobody's behaviour.
    scratch = dict(vars(module))
    tree = ast.Module([node], [])
    exec(compile(tree, module.__file__ or "", "exec", dont_inherit=True), scratch)  # noqa: S102 - our own module's code
    made = scratch[node.name]
    if made.__code__.co_freevars != function.__code__.co_freevars:
        raise NotSwappable

    def change() -> Callable[[], None]:
        kept = function.__code__, function.__defaults__, function.__kwdefaults__
        function.__code__, function.__defaults__, function.__kwdefaults__ = (
            made.__code__,
            made.__defaults__,
            made.__kwdefaults__,
        )

        def back() -> None:
            function.__code__, function.__defaults__, function.__kwdefaults__ = kept

        return back

    return change


def _bare(found: Any) -> FunctionType:
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        raise NotSwappable
    return found


def _of_constant(module: ModuleType, node: ast.Assign | ast.AnnAssign) -> _Change:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if len(names) != len(targets):
        raise NotSwappable

    def change() -> Callable[[], None]:
        namespace = vars(module)
        kept = {name: namespace[name] for name in names}
        exec(compile(ast.Module([node], []), module.__file__ or "", "exec"), namespace)  # noqa: S102 - as above
        return lambda: namespace.update(kept)

    return change
