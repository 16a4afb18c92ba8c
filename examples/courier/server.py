"""A courier service that stands in for a real one: a participant over HTTP that can be slow, fail and forget.

It keeps docs/reference/remote-participants.md: each operation once by its key, undo by key, a null compensation where
the undo comes first. Its journal is a file of SQLite. It needs nothing but Python.

    python examples/courier/server.py --port 8090 --journal courier.sqlite3

What it does wrong is switched on by ``PUT /switches``:

    {"slow": 2.5}   every answer takes so many seconds longer
    {"fail": 3}     the next three operations are answered with 500, and nothing is done
    {"forget": 2}   the next two operations take effect, and the connection ends without an answer
    {"full": true}  no courier is free: deliveries are rejected
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operation (
    tx TEXT, branch TEXT, operation TEXT, status INTEGER, body TEXT, PRIMARY KEY (tx, branch, operation)
);
CREATE TABLE IF NOT EXISTS delivery (
    tx TEXT, branch TEXT, state TEXT CHECK (state IN ('BOOKED', 'CONFIRMED', 'CANCELLED')), asked TEXT,
    PRIMARY KEY (tx, branch)
);
"""
#: What the undo of an operation that never came leaves: the operation is refused if it comes after all.
_REFUSED = {"code": "Cancelled", "detail": "this delivery was cancelled before it was booked"}

Key = tuple[str, str, str]
Answer = tuple[int, dict[str, Any]]


class Journal:
    """The deliveries, and the answer to each operation. Effect and answer are one transaction."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        # Durable before 2xx.
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def recorded(self, key: Key) -> Answer | None:
        """The answer that an operation got, if it was done."""
        with self._lock:
            return self._recorded(key)

    def perform(self, key: Key, asked: str, *, full: bool) -> Answer:
        """Do an operation once; a repeat gets the first answer."""
        with self._lock:
            known = self._recorded(key)
            if known is not None:
                return known
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                answer = self._do(key, asked, full=full)
                self._record(key, answer)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return answer

    def deliveries(self) -> list[dict[str, str]]:
        """All deliveries, for people and tests. Whither they go is not told."""
        with self._lock:
            rows = self._connection.execute("SELECT tx, branch, state FROM delivery ORDER BY tx").fetchall()
        return [{"tx": tx, "branch": branch, "state": state} for tx, branch, state in rows]

    def _do(self, key: Key, asked: str, *, full: bool) -> Answer:
        tx, branch, operation = key
        if operation == "try":
            if full:
                return 409, {"code": "NoCourier", "detail": "no courier is free at that time"}
            self._connection.execute("INSERT INTO delivery VALUES (?, ?, 'BOOKED', ?)", (tx, branch, asked))
            return 201, {"tracking": f"CR-{tx[-12:].upper()}"}
        if operation == "confirm":
            done = self._connection.execute(
                "UPDATE delivery SET state = 'CONFIRMED' WHERE tx = ? AND branch = ? AND state = 'BOOKED'", (tx, branch)
            )
            return (200, {}) if done.rowcount else (404, {"code": "NotBooked", "detail": "there is no such delivery"})
        if self._recorded((tx, branch, "try")) is None:
            self._record((tx, branch, "try"), (409, _REFUSED))
        self._connection.execute("UPDATE delivery SET state = 'CANCELLED' WHERE tx = ? AND branch = ?", (tx, branch))
        return 200, {}

    def _recorded(self, key: Key) -> Answer | None:
        row = self._connection.execute(
            "SELECT status, body FROM operation WHERE tx = ? AND branch = ? AND operation = ?", key
        ).fetchone()
        return None if row is None else (int(row[0]), json.loads(row[1]))

    def _record(self, key: Key, answer: Answer) -> None:
        status, body = answer
        # What is broken is not remembered: it may be right the next time.
        if status in {200, 201, 409}:
            self._connection.execute("INSERT INTO operation VALUES (?, ?, ?, ?, ?)", (*key, status, json.dumps(body)))


class Switches:
    """What the service does wrong at present."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.slow, self.fail, self.forget, self.full = 0.0, 0, 0, False

    def set(self, wanted: dict[str, Any]) -> None:
        """Switch to these, and all others off."""
        with self._lock:
            self.slow, self.full = float(wanted.get("slow", 0)), bool(wanted.get("full", False))
            self.fail, self.forget = int(wanted.get("fail", 0)), int(wanted.get("forget", 0))

    def takes(self, name: str) -> bool:
        """Whether this operation is one of the next so many that go wrong in this way."""
        with self._lock:
            left: int = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0


class Courier(ThreadingHTTPServer):
    """The service."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], journal: str) -> None:
        super().__init__(address, Handler)
        self.journal = Journal(journal)
        self.switches = Switches()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Courier
    _OPERATIONS = {"POST": "try", "PUT": "confirm", "DELETE": "cancel"}

    def do_POST(self) -> None:
        """Book a courier."""
        self._operate()

    def do_DELETE(self) -> None:
        """Cancel a courier, also one that was never booked."""
        self._operate()

    def do_PUT(self) -> None:
        """Confirm a courier; or set the switches."""
        if self.path != "/switches":
            self._operate()
            return
        try:
            wanted = json.loads(self._body())
            self.server.switches.set(wanted)
        except (ValueError, TypeError, AttributeError):
            self._answer(400, {"detail": "give an object of slow, fail, forget, full"})
            return
        self._answer(200, {})

    def do_GET(self) -> None:
        """Tell the outcome of an operation; or list all deliveries."""
        if self.path == "/deliveries":
            self._answer(200, {"deliveries": self.server.journal.deliveries()})
        elif self.path == "/operations" and (key := self._key()) is not None:
            self._tell(self.server.journal.recorded(key))
        else:
            self._answer(404, {"detail": "there is nothing here"})

    def _operate(self) -> None:
        key, body = self._key(), self._body()
        if self.path != "/deliveries" or key is None or key[2] != self._OPERATIONS[self.command]:
            self._answer(404, {"detail": "there is nothing here, or the headers do not name this operation"})
            return
        switches = self.server.switches
        if switches.slow:
            time.sleep(switches.slow)
        if switches.takes("fail"):
            self._answer(500, {"detail": "broken, as was wished"})
            return
        answer = self.server.journal.perform(key, body, full=switches.full)
        if switches.takes("forget"):
            self.close_connection = True
            return
        self._answer(*answer)

    def _tell(self, known: Answer | None) -> None:
        """Answer a query: what came of an operation, or that it never came."""
        if known is None:
            self._answer(404, {"detail": "this operation has never come"})
            return
        status, body = known
        self._answer(200, {"outcome": "rejected", **body} if status == 409 else {"outcome": "done", "result": body})

    def _key(self) -> Key | None:
        tx, branch, operation = (self.headers.get(name, "") for name in ("X-Tx-ID", "X-Branch-ID", "X-Operation"))
        return (tx, branch, operation) if tx and branch and operation else None

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Write a line for each request, without its body: an address is personal."""
        sys.stderr.write(f"courier: {format % args}\n")


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--journal", default="courier.sqlite3")
    options = parser.parse_args()
    with Courier((options.host, options.port), options.journal) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
