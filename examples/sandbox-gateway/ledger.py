"""What the gateway knows: payments, refunds, the answers under idempotency keys, and the messages of a day."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
    id TEXT PRIMARY KEY, order_no TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
    state TEXT NOT NULL, tx TEXT, made_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS refund (
    id TEXT PRIMARY KEY, refund_id TEXT NOT NULL, payment_id TEXT NOT NULL, amount INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, payment_id TEXT NOT NULL, order_no TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, status TEXT NOT NULL, refund_id TEXT, refund_amount INTEGER
);
"""


class Refused(Exception):
    """The gateway says no. ``code`` says why, as a word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Ledger:
    """The gateway's books, in one SQLite file.

    Args:
        path: of the file; ``:memory:`` for books that end with the process.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block is written, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _all(self, sql: str, *values: object) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(row) for row in self._db.execute(sql, values)]

    def _one(self, sql: str, *values: object) -> dict[str, Any] | None:
        found = self._all(sql, *values)
        return found[0] if found else None

    # -- Payments ---------------------------------------------------------------------------------------------

    def open_payment(self, *, order_no: str, amount: int, currency: str) -> dict[str, Any]:
        """Begin a payment that its payer has not decided about; ``ValueError`` if its amount is below 0."""
        if amount < 0:
            raise ValueError(amount)
        return self._new_payment(order_no, amount, currency, "open", None)

    def _new_payment(self, order_no: str, amount: int, currency: str, state: str, tx: str | None) -> dict[str, Any]:
        payment_id = f"pay_{uuid4().hex[:16]}"
        self._all(
            "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(payment_id, order_no, amount, currency, state, tx, _now()),
        )
        found = self.payment(payment_id)
        assert found is not None
        return found

    def payment(self, payment_id: str) -> dict[str, Any] | None:
        """A payment; ``None`` if there is none of this id."""
        return self._one("SELECT * FROM payment WHERE id = ?", payment_id)

    def payments(self) -> list[dict[str, Any]]:
        """The latest payments, newest first, each with what is returned of it."""
        return self._all(
            "SELECT payment.*, (SELECT COALESCE(sum(amount), 0) FROM refund WHERE payment_id = payment.id) AS returned "
            "FROM payment ORDER BY made_at DESC LIMIT 50"
        )

    def decide(self, payment_id: str, state: str) -> dict[str, Any]:
        """End an open payment: "succeeded", "failed" or "closed". Return the event that tells of it."""
        with self.transaction():
            payment = self.payment(payment_id)
            if payment is None or payment["state"] != "open":
                raise Refused("NotOpen", "The payment is not open any more.")
            self._all("UPDATE payment SET state = ? WHERE id = ?", state, payment_id)
            return self._note(payment, state)

    def charge(self, tx: str, *, order_no: str, amount: int, currency: str, card: str) -> dict[str, Any]:
        """Take a payment at once, for a global transaction."""
        if card == "declined":
            raise Refused("CardDeclined", "The card was declined.")
        payment = self._new_payment(order_no, amount, currency, "succeeded", tx)
        self._note(payment, "succeeded")
        return payment

    def charged(self, tx: str) -> dict[str, Any] | None:
        """The payment that a global transaction has charged."""
        return self._one("SELECT * FROM payment WHERE tx = ?", tx)

    # -- Refunds ----------------------------------------------------------------------------------------------

    def refund(self, refund_id: str, *, payment_id: str, amount: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a part of a payment, or all of it; the refund, and the event that tells of it."""
        payment = self.payment(payment_id)
        if payment is None or payment["state"] != "succeeded":
            raise Refused("NotPaid", "There is no such payment.")
        (returned,) = self._all("SELECT COALESCE(sum(amount), 0) AS sum FROM refund WHERE payment_id = ?", payment_id)
        if returned["sum"] + amount > payment["amount"]:
            raise Refused("TooMuch", "So much is not left of the payment.")
        made = {"id": f"re_{uuid4().hex[:16]}", "refund_id": refund_id, "payment_id": payment_id, "amount": amount}
        self._all("INSERT INTO refund VALUES (?, ?, ?, ?)", *made.values())
        return made, self._note(payment, "refunded", refund_id, amount)

    def refund_of(self, refund_id: str) -> dict[str, Any] | None:
        """The refund that the shop knows by this id."""
        return self._one("SELECT * FROM refund WHERE refund_id = ?", refund_id)

    # -- Answers under idempotency keys ------------------------------------------------------------------------

    def answer(self, key: str) -> tuple[int, Any] | None:
        """The first answer to a request under a key."""
        found = self._one("SELECT * FROM answer WHERE key = ?", key)
        return (found["status"], json.loads(found["body"])) if found else None

    def remember(self, key: str, status: int, body: object) -> None:
        """Keep the answer to a request, in its transaction."""
        self._all("INSERT INTO answer VALUES (?, ?, ?)", key, status, json.dumps(body))

    def forget_keys(self) -> None:
        """Forget all answers, as gateways do after a day."""
        self._all("DELETE FROM answer")

    # -- What happened ------------------------------------------------------------------------------------------

    def _note(
        self, payment: dict[str, Any], status: str, refund_id: str | None = None, refund_amount: int | None = None
    ) -> dict[str, Any]:
        event = {
            "occurred_at": _now(),
            "payment_id": payment["id"],
            "order_no": payment["order_no"],
            "amount": payment["amount"],
            "currency": payment["currency"],
            "status": status,
            "refund_id": refund_id,
            "refund_amount": refund_amount,
        }
        self._all("INSERT INTO event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", *event.values())
        return {name: value for name, value in event.items() if value is not None}

    def events(self, day: str) -> list[dict[str, Any]]:
        """What happened on a day, as ``2026-11-30``."""
        return self._all(
            "SELECT payment_id, order_no, amount, currency, status, at AS occurred_at, refund_id, refund_amount "
            "FROM event WHERE at LIKE ? ORDER BY id",
            f"{day}%",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
