"""A participant over HTTP that keeps the contract, or violates it in one of several common ways."""

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
#: How long an operation takes that another operation may interrupt, in seconds.
_WINDOW = 0.02


class Answer(NamedTuple):
    """The answer to an operation."""

    status: int
    body: dict[str, Any]


class FaultyParticipant:
    """Points of one customer, in memory.

    Args:
        defect: how it violates the contract; not at all by default.
    """

    def __init__(self, defect: str = "") -> None:
        self.defect = defect
        self.balance = 1000
        self.spent = 0
        self._records: dict[tuple[str, ...], Answer] = {}
        self._lock = threading.RLock()
        self._executing: set[tuple[str, ...]] = set()

    def operate(self, tx: str, branch: str, operation: str, points: int) -> Answer:
        """Perform an operation, once."""
        match self.defect:
            case "breaks":
                return Answer(500, {})
            case "is never ready":
                return Answer(425, {})
            case "has one barrier for all branches":
                branch = ""
            case "looks before it leaps":
                return self._leap(tx, branch, operation, points)
            case "rejects what it is executing":
                return self._execute(tx, branch, operation, points)
        with self._lock:
            return self._once(tx, branch, operation, points)

    def find(self, tx: str, branch: str, operation: str) -> Answer:
        """Answer a query."""
        if self.defect == "lies when it is asked":
            return Answer(200, {"outcome": "done", "result": {"points": 1}})
        found = self._records.get((tx, branch, operation))
        if found is None:
            return Answer(404, {})
        if found.status == 200:
            return Answer(200, {"outcome": "done", "result": found.body})
        return Answer(200, {"outcome": "rejected", **found.body})

    def restart(self) -> None:
        """Somebody has killed it and started it again."""
        if self.defect == "keeps it in memory":
            self._records.clear()

    def _once(self, tx: str, branch: str, operation: str, points: int) -> Answer:
        key = (tx, branch, operation)
        known = self._records.get(key)
        if known is None or self._performs_again(operation, known):
            self._records[key] = self._decide(tx, branch, operation, points)
            return self._records[key]
        if self.defect == "says something else to a repeat":
            return Answer(known.status, {**known.body, "repeated": True})
        return known

    def _leap(self, tx: str, branch: str, operation: str, points: int) -> Answer:
        """What is known is looked up in one transaction, and written in another."""
        key = (tx, branch, operation)
        known = self._records.get(key)
        time.sleep(_WINDOW)
        with self._lock:
            self._records[key] = known or self._decide(tx, branch, operation, points)
            return self._records[key]

    def _execute(self, tx: str, branch: str, operation: str, points: int) -> Answer:
        """A repeat that meets its own first request is told 409, which is final."""
        key = (tx, branch, operation)
        with self._lock:
            if key in self._executing:
                return Answer(409, {"code": "InProgress"})
            self._executing.add(key)
        time.sleep(_WINDOW)
        with self._lock:
            self._executing.discard(key)
            return self._once(tx, branch, operation, points)

    def _performs_again(self, operation: str, known: Answer) -> bool:
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

    def _decide(self, tx: str, branch: str, operation: str, points: int) -> Answer:
        if operation in {"forward", "try"}:
            again = self.defect == "decides a refusal anew" and (tx, branch, operation) in self._records
            if points > self.balance and not again:
                return Answer(409, {"code": "NotEnough", "detail": f"{points} wanted"})
            self.balance -= points
            return Answer(200, {"points": points})
        if operation == "confirm":
            self.spent += 1
            return Answer(200, {"spent": True})
        undone = (tx, branch, _UNDOES[operation])
        forward = self._records.get(undone)
        if forward is None:
            if self.defect == "cannot undo what never came":
                return Answer(404, {})
            if self.defect != "lets a late one through":
                self._records[undone] = Answer(409, {"code": "Undone", "detail": "too late"})
        elif forward.status == 200 or self.defect == "gives back what it refused":
            self.balance += forward.body.get("points", 1)
            if self.defect == "forgets what it has undone":
                del self._records[undone]
        if self.defect == "undoes nothing":
            self.balance -= points
        return Answer(200, {"undone": True})


@contextmanager
def serving(faulty: FaultyParticipant) -> Iterator[str]:
    """Serve the participant on a port of this machine; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = self.reply(json.loads(text) if text else {})
            page = b"<p>fine</p>" if faulty.defect == "speaks no JSON" else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(page)

        def reply(self, body: dict[str, Any]) -> Answer:
            match self.command, self.path:
                case "GET", "/balance":
                    return Answer(200, {"balance": faulty.balance, "spent": faulty.spent})
                case "POST", "/restart":
                    faulty.restart()
                    return Answer(200, {})
            tx, branch, operation = self.headers["Idempotency-Key"].split(":")
            assert (self.headers["X-Tx-ID"], self.headers["X-Branch-ID"]) == (tx, branch)
            if (self.command, self.path) == ("GET", "/operations"):
                return faulty.find(tx, branch, operation)
            assert ROUTES[self.command, self.path] == operation == self.headers["X-Operation"]
            return faulty.operate(tx, branch, operation, body.get("points", 1))

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
