"""A payment gateway to try the shop with: a page on which a person pays, an API for refunds, and every misbehaviour.

It is a stand-in for a bank, and no example of one: whoever reaches it may pay and misbehave. It listens on loopback.
"""

from __future__ import annotations

import argparse
import csv
import hmac
import io
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pages
from ledger import Ledger, Refused
from sender import Misbehaviour, Sender

logger = logging.getLogger("gateway")

_BODY_LIMIT = 64 * 1024
_COLUMNS = ("payment_id", "order_no", "amount", "currency", "status", "occurred_at", "refund_id", "refund_amount")


class Gateway(ThreadingHTTPServer):
    """The server, with what its requests share.

    Args:
        port: where it listens; 0 for any free one.
        ledger: its books.
        sender: of its webhooks.
        wrong: what it does wrong.
        token: that its API asks for.
    """

    daemon_threads = True

    def __init__(self, port: int, ledger: Ledger, sender: Sender, wrong: Misbehaviour, token: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.ledger = ledger
        self.sender = sender
        self.wrong = wrong
        self.token = token


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Gateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Pages, queries of operations, and the daily file."""
        url = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case [""]:
                self._html(pages.console(self._ledger.payments(), self.server.wrong, self.server.sender.sent))
            case ["style.css"]:
                self._write(200, pages.STYLE.encode(), "text/css")
            case ["pay"]:
                self._begin(asked)
            case ["payments", payment_id] if (payment := self._ledger.payment(payment_id)) is not None:
                self._html(pages.payer(payment))
            case ["daily.csv"]:
                self._daily(asked.get("day") or datetime.now(UTC).date().isoformat())
            case ["operations", *_] if not self._may():
                self._json(401, {"detail": "Send the token."})
            case ["operations", tx, branch, operation]:
                self._query(tx, f"{tx}:{branch}:{operation}")
            case _:
                self._json(404, {"detail": "There is nothing here."})

    def do_POST(self) -> None:
        """What a payer decides, what goes wrong, refunds and charges."""
        told = self.headers.get("Content-Length") or "0"
        length = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else -1
        if not 0 <= length <= _BODY_LIMIT:
            self.close_connection = True
            self._json(413, {"detail": "The body is too large, or its length is not said."})
            return
        body = self.rfile.read(length)
        form = {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["payments", payment_id] if form.get("decision") in {"succeeded", "failed", "closed"}:
                self._decide(payment_id, form["decision"])
            case ["misbehave"]:
                self._misbehave(form)
            case ["refunds" | "charges", *_] if not self._may():
                self._json(401, {"detail": "Send the token."})
            case ["refunds"]:
                self._perform(body, self._refund)
            case ["charges"]:
                self._perform(body, self._charge)
            case ["charges", "refunds"]:
                self._perform(body, self._refund_charge)
            case _:
                self._json(404, {"detail": "There is nothing here."})

    # -- The payer -----------------------------------------------------------------------------------------------

    def _begin(self, asked: dict[str, str]) -> None:
        try:
            amount = int(asked["amount"]) if asked["amount"].isdecimal() else -1
            payment = self._ledger.open_payment(
                order_no=asked["order_no"][:32], amount=amount, currency=asked.get("currency", "CNY")[:3].upper()
            )
        except (KeyError, ValueError):
            self._json(422, {"detail": "Say order_no and amount, in cents."})
            return
        self._go(f"/payments/{payment['id']}")

    def _decide(self, payment_id: str, decision: str) -> None:
        try:
            self.server.sender.send(self._ledger.decide(payment_id, decision))
        except Refused as refused:
            self._json(409, {"code": refused.code, "detail": str(refused)})
            return
        self._go(f"/payments/{payment_id}")

    def _misbehave(self, form: dict[str, str]) -> None:
        try:
            self.server.wrong.set(form)
        except ValueError:
            self._json(422, {"detail": "Say by how many seconds messages are late, from 0 to 3600."})
            return
        self._go("/")

    def _daily(self, day: str) -> None:
        try:
            date.fromisoformat(day)
        except ValueError:
            self._json(422, {"detail": "Say a day, such as 2026-11-30."})
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows(self._ledger.events(day))
        self._write(200, text.getvalue().encode(), "text/csv")

    # -- The API ---------------------------------------------------------------------------------------------------

    def _perform(self, body: bytes, operation: Callable[[str, dict[str, Any]], tuple[int, Any]]) -> None:
        """Perform an operation once for each key, and answer a repeat as the first time."""
        key, tx = self.headers.get("Idempotency-Key", ""), self.headers.get("X-Tx-ID", "")
        try:
            asked = json.loads(body or b"{}")
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not key or not tx:
            self._json(422, {"detail": "Send a JSON object, Idempotency-Key and X-Tx-ID."})
            return
        if self.server.wrong.forget_keys:
            self._ledger.forget_keys()
        with self._ledger.transaction():
            answer = self._ledger.answer(key)
            if answer is None:
                try:
                    answer = operation(tx, asked)
                except Refused as refused:
                    answer = 409, {"code": refused.code, "detail": str(refused)}
                except (KeyError, TypeError, ValueError):
                    answer = 422, {"detail": "A field is missing or wrong."}
                self._ledger.remember(key, *answer)
        if self.server.wrong.lose_answers:
            self.close_connection = True
            return
        self._json(*answer)

    def _refund(self, tx: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if self.server.wrong.refuse_refunds:
            raise Refused("RefundRefused", "The bank refuses the refund.")
        made, event = self._ledger.refund(
            str(asked.get("refund_id", tx)), payment_id=str(asked["payment_id"]), amount=int(asked["refund_amount"])
        )
        self.server.sender.send(event)
        return 200, {"gateway_refund_id": made["id"]}

    def _charge(self, tx: str, asked: dict[str, Any]) -> tuple[int, Any]:
        charged = self._ledger.charge(
            tx,
            order_no=str(asked["order_no"]),
            amount=int(asked["amount"]),
            currency=str(asked["currency"]),
            card=str(asked["card"]),
        )
        return 200, {"payment_id": charged["id"]}

    def _refund_charge(self, tx: str, _asked: dict[str, Any]) -> tuple[int, Any]:
        """Undo a charge, by its transaction. One that never came is refused from now on."""
        charged = self._ledger.charged(tx)
        if charged is None:
            branch = self.headers.get("X-Branch-ID", "")
            never = {"code": "Undone", "detail": "The charge was undone before it came."}
            if self._ledger.answer(f"{tx}:{branch}:forward") is None:
                self._ledger.remember(f"{tx}:{branch}:forward", 409, never)
            return 200, {"gateway_refund_id": None}
        made, event = self._ledger.refund(tx, payment_id=charged["id"], amount=charged["amount"])
        self.server.sender.send(event)
        return 200, {"gateway_refund_id": made["id"]}

    def _query(self, tx: str, key: str) -> None:
        """Say what came of an operation. A refund is known by its id, also where its key is forgotten."""
        if (answer := self._ledger.answer(key)) is not None:
            status, body = answer
            outcome = {"outcome": "done", "result": body} if status == 200 else {"outcome": "rejected", **body}
            self._json(200, outcome)
        elif key.endswith(":forward") and (charged := self._ledger.charged(tx)) is not None:
            self._json(200, {"outcome": "done", "result": {"payment_id": charged["id"]}})
        elif (refund := self._ledger.refund_of(tx)) is not None:
            self._json(200, {"outcome": "done", "result": {"gateway_refund_id": refund["id"]}})
        else:
            self._json(404, {"detail": "It never came."})

    def _may(self) -> bool:
        told = self.headers.get("Authorization", "")
        return hmac.compare_digest(told.encode(), f"Bearer {self.server.token}".encode())

    # -- Answers ---------------------------------------------------------------------------------------------------

    @property
    def _ledger(self) -> Ledger:
        return self.server.ledger

    def _go(self, path: str) -> None:
        self.send_response(303)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _html(self, text: str) -> None:
        self._write(200, text.encode(), "text/html; charset=utf-8")

    def _json(self, status: int, body: object) -> None:
        self._write(status, json.dumps(body).encode(), "application/json")

    def _write(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'self'; base-uri 'none'; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Log a request by the program's own logger."""
        logger.info(format, *args)


def main() -> None:
    """Read the arguments, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--db", default=":memory:", help="SQLite file of its books; by default they end with it.")
    parser.add_argument("--webhook", default="", help="The shop's …/api/v1/payments/webhook/NAME/.")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    wrong = Misbehaviour()
    # Secrets come by the environment: arguments are seen by everybody on the machine.
    sender = Sender(given.webhook, os.environ["DRINKGROUP_WEBHOOK_SECRET"], wrong)
    server = Gateway(given.port, Ledger(given.db), sender, wrong, os.environ["GATEWAY_TOKEN"])
    sys.stdout.write(f"The sandbox gateway is at http://127.0.0.1:{server.server_port}/\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
