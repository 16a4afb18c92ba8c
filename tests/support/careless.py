"""A participant over HTTP that keeps the contract, or breaks it in one of the ways in which people break it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

ROUTES = {
    ("POST", "/debits"): "forward",
    ("DELETE", "/debits"): "compensate",
    ("POST", "/held"): "try",
    ("PUT", "/held"): "confirm",
    ("DELETE", "/held"): "cancel",
}
_UNDOES = {"compensate": "forward", "cancel": "try"}
#: How long something takes in whose middle something else may come, in seconds.
_WINDOW = 0.02


class Said(NamedTuple):
    """What an operation is answered."""

    status: int
    body: dict[str, Any]


class Careless:
    """Points of one customer, in memory.

    Args:
        defect: what it does wrong; nothing by default.
    """

    def __init__(self, defect: str = "") -> None:
        self.defect = defect
        self.balance = 1000
        self.spent = 0
        self._records: dict[tuple[str, ...], Said] = {}
        self._lock = threading.RLock()
        self._executing: set[tuple[str, ...]] = set()

    def operate(self, tx: str, branch: str, operation: str, points: int) -> Said:
        """Perform an operation, once."""
        match self.defect:
            case "breaks":
                return Said(500, {})
            case "is never ready":
                return Said(425, {})
            case "has one barrier for all branches":
                branch = ""
            case "looks before it leaps":
                return self._leap(tx, branch, operation, points)
            case "rejects what it is executing":
                return self._execute(tx, branch, operation, points)
        with self._lock:
            return self._once(tx, branch, operation, points)

    def find(self, tx: str, branch: str, operation: str) -> Said:
        """Answer a query."""
        if self.defect == "lies when it is asked":
            return Said(200, {"outcome": "done", "result": {"points": 1}})
        found = self._records.get((tx, branch, operation))
        if found is None:
            return Said(404, {})
        if found.status == 200:
            return Said(200, {"outcome": "done", "result": found.body})
        return Said(200, {"outcome": "rejected", **found.body})

    def restart(self) -> None:
        """Somebody has killed it and started it again."""
        if self.defect == "keeps it in memory":
            self._records.clear()

    def _once(self, tx: str, branch: str, operation: str, points: int) -> Said:
        key = (tx, branch, operation)
        known = self._records.get(key)
        if known is None or self._performs_again(operation, known):
            self._records[key] = self._decide(tx, branch, operation, points)
            return self._records[key]
        if self.defect == "says something else to a repeat":
            return Said(known.status, {**known.body, "repeated": True})
        return known

    def _leap(self, tx: str, branch: str, operation: str, points: int) -> Said:
        """What is known is looked up in one transaction, and written in another."""
        key = (tx, branch, operation)
        known = self._records.get(key)
        time.sleep(_WINDOW)
        with self._lock:
            self._records[key] = known or self._decide(tx, branch, operation, points)
            return self._records[key]

    def _execute(self, tx: str, branch: str, operation: str, points: int) -> Said:
        """A repeat that meets its own first request is told 409, which is final."""
        key = (tx, branch, operation)
        with self._lock:
            if key in self._executing:
                return Said(409, {"code": "InProgress"})
            self._executing.add(key)
        time.sleep(_WINDOW)
        with self._lock:
            self._executing.discard(key)
            return self._once(tx, branch, operation, points)

    def _performs_again(self, operation: str, known: Said) -> bool:
        match self.defect:
            case "has no barrier":
                return True
            case "undoes as often as it is asked":
                return operation in _UNDOES
            case "confirms as often as it is asked":
                return operation == "confirm"
            case "decides a refusal anew":
                return known.status == 409 and known.body["code"] == "NotEnough"
        return False

    def _decide(self, tx: str, branch: str, operation: str, points: int) -> Said:
        if operation in {"forward", "try"}:
            again = self.defect == "decides a refusal anew" and (tx, branch, operation) in self._records
            if points > self.balance and not again:
                return Said(409, {"code": "NotEnough", "detail": f"{points} wanted"})
            self.balance -= points
            return Said(200, {"points": points})
        if operation == "confirm":
            self.spent += 1
            return Said(200, {"spent": True})
        undone = (tx, branch, _UNDOES[operation])
        forward = self._records.get(undone)
        if forward is None:
            if self.defect == "cannot undo what never came":
                return Said(404, {})
            if self.defect != "lets a late one through":
                self._records[undone] = Said(409, {"code": "Undone", "detail": "too late"})
        elif forward.status == 200 or self.defect == "gives back what it refused":
            self.balance += forward.body.get("points", 1)
            if self.defect == "forgets what it has undone":
                del self._records[undone]
        if self.defect == "undoes nothing":
            self.balance -= points
        return Said(200, {"undone": True})


@contextmanager
def serving(careless: Careless) -> Iterator[str]:
    """Have it listen; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = self.said(json.loads(text) if text else {})
            page = b"<p>fine</p>" if careless.defect == "speaks no JSON" else json.dumps(said.body).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(page)

        def said(self, body: dict[str, Any]) -> Said:
            match self.command, self.path:
                case "GET", "/balance":
                    return Said(200, {"balance": careless.balance, "spent": careless.spent})
                case "POST", "/restart":
                    careless.restart()
                    return Said(200, {})
            tx, branch, operation = self.headers["Idempotency-Key"].split(":")
            assert (self.headers["X-Tx-ID"], self.headers["X-Branch-ID"]) == (tx, branch)
            if (self.command, self.path) == ("GET", "/operations"):
                return careless.find(tx, branch, operation)
            assert ROUTES[self.command, self.path] == operation == self.headers["X-Operation"]
            return careless.operate(tx, branch, operation, body.get("points", 1))

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
