"""What is done behind a commit, and may be lost: the database says it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper

from django.db import transaction


def after_commit(function: Callable[..., object], *args: object) -> None:
    """Call a function as soon as the current transaction is committed, and not if it is rolled back.

    What it raises is logged, and is no error of what was committed: whoever did that must not be told otherwise.
    """

    def call() -> None:
        function(*args)

    # Django names it when it logs an error. A ``functools.partial`` has no name, and that would be raised instead.
    transaction.on_commit(update_wrapper(call, function), robust=True)
