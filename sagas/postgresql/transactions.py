"""The engine's own transactions: BEGIN travels with their first statement, which saves a round trip."""

from __future__ import annotations

from contextlib import nullcontext

from django.db import transaction


class Transaction(transaction.Atomic):
    """As ``transaction.atomic(durable=True)``. Its first statement is the engine's, and locks."""

    def __init__(self) -> None:
        super().__init__(using=None, savepoint=True, durable=True)

    def __enter__(self) -> None:
        database = transaction.get_connection()
        # A backend other than the engine's begins its transactions as it does.
        with getattr(database, "beginning_late", nullcontext)():
            super().__enter__()
