"""Do in this process what workers do: take messages off the queues, perform their tasks, dispatch.

It uses only what both versions have: the names of tasks and queues, and the Celery app.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from uuid import UUID

from celery.app.trace import build_tracer
from django.db import connection

from sagas.celery import app as _app
from tests.support import broker

#: Celery's types do not know what a task registry gives.
app: Any = _app
#: A message as it lies in a queue: ``queue``, ``headers``, ``properties`` and ``body``, all of JSON.
Message = dict[str, Any]
#: A queue of the tests that receives all domain events.
EVENTS_QUEUE = "upgrade.events"
#: Under which header a worker's main process notes from which queue a message came.
_QUEUE_HEADER = "x-sagas-queue"


def ready() -> None:
    """Load the tasks; consume only the dispatch queue, so that a dispatch performs no first step itself."""
    app.loader.import_default_modules()
    app.select_queues(["sagas.dispatch"])


def listen() -> None:
    """Declare a queue that receives all domain events from now on."""
    with broker.channel() as channel:
        channel.queue_declare(EVENTS_QUEUE, durable=True, auto_delete=False)
        channel.queue_bind(EVENTS_QUEUE, exchange="sagas.events", routing_key="#")


def taken(*others: str) -> list[Message]:
    """Take all messages off the engine's queues, delay queues included, and off these others."""
    found: list[Message] = []
    with broker.channel() as channel:
        for queue in [*broker.queue_names(""), *others]:
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(
                    {
                        "queue": queue,
                        "headers": dict(message.headers or {}),
                        "properties": {
                            name: value for name, value in message.properties.items() if name != "application_headers"
                        },
                        "body": message.body if isinstance(message.body, str) else bytes(message.body).decode(),
                    }
                )
    return found


def perform(message: Message) -> None:
    """Perform the message's task, and have Celery publish the next link of its chain."""
    args, kwargs, embedded = json.loads(message["body"])
    headers = {**message["headers"], _QUEUE_HEADER: message["queue"]}
    _trace(headers["task"], headers["id"], args, kwargs, {**headers, **embedded, "headers": headers})


def dispatch(*, tick: bool = False) -> None:
    """Claim and publish what is due; with ``tick`` lapsed leases and notices, too."""
    _trace("sagas.dispatch", "dispatch", [], {"tick": tick}, {"id": "dispatch"})


def _trace(name: str, task_id: str, args: list[Any], kwargs: dict[str, Any], request: dict[str, Any]) -> None:
    task = app.tasks[name]
    done = build_tracer(name, task, app=app)(task_id, args, kwargs, {"hostname": "by-hand", **request})
    if done.info is not None:
        msg = f"{name} {args} {kwargs}: {done.info.state} {done.retval!r}"
        raise AssertionError(msg)


def query(sql: str, params: Sequence[Any] = (), using: Any = connection) -> list[tuple[Any, ...]]:
    """Run one SQL statement and return its rows."""
    with using.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def let_time_pass(*ids: UUID) -> None:
    """End all waits of these runs: leases, delays between attempts, reports."""
    query(
        "UPDATE sagas_run SET due_at = clock_timestamp(), pending = (SELECT jsonb_object_agg(key, "
        "jsonb_set(value, '{until}', '0')) FROM jsonb_each(pending)) WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [list(ids)],
    )


class System:
    """Another system: performs each idempotency key once, and answers once ``may_answer`` is set.

    Attributes:
        asked: the key of each request.
        done: the keys that were performed.
    """

    def __init__(self, port: int = 0) -> None:
        self.done: list[str] = []
        self.asked: list[str] = []
        self.may_answer = Event()
        system = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = self.headers["Idempotency-Key"]
                system.asked.append(key)
                if key not in system.done:
                    system.done.append(key)
                system.may_answer.wait()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_DELETE = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[System]:
        """Serve inside this block."""
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
