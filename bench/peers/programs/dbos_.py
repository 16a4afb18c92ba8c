"""DBOS: a workflow of four transactions by its datasource, which commits a step's effect and its record together.

``PEER=dbos_queue``: enqueued, and taken by two processes from a queue. ``PEER=dbos_threads``: started by the process
that performs them, in its threads, without a queue. The first polls as often as its documentation allows without cost
to others.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from common import SKUS, connect, main
from dbos import DBOS, DBOSClient, SQLAlchemyDatasource

URL = os.environ["DATABASE_URL"]
ENGINE_URL = URL.replace("postgresql://", "postgresql+psycopg://")
QUEUED = os.environ["PEER"] == "dbos_queue"
DBOS(
    config={
        "name": "bench",
        "system_database_url": URL,
        "application_version": "1",
        "log_level": "WARNING",
        "executor_id": os.environ.get("EXECUTOR", "0"),
    }
)
data = SQLAlchemyDatasource.create(ENGINE_URL)


def _transaction(number):
    @data.transaction(name=f"step_{number}")
    def step(run):
        session = data.sql_session()
        session.execute(
            sa.text("UPDATE stock SET available = available - 1, held = held + 1 WHERE sku = :sku"), {"sku": run % SKUS}
        )
        session.execute(sa.text("INSERT INTO effect (run, step) VALUES (:run, :step)"), {"run": run, "step": number})

    return step


STEPS = [_transaction(number) for number in (1, 2, 3, 4)]


@DBOS.workflow(name="order")
def order(run):
    """Four steps."""
    for step in STEPS:
        step(run)


def setup():
    """Make the engine's tables, and the queue; and those of runs that are started without one."""
    DBOS.launch()
    DBOS.register_queue("bench", worker_concurrency=16, polling_interval_sec=0.01)
    with connect().cursor() as cursor:
        cursor.execute("CREATE TABLE wanted (run bigint PRIMARY KEY)")
    DBOS.destroy()


_client = []


def start(run):
    """Enqueue; or leave it to the process that performs it, which has no other way to hear of it."""
    if QUEUED:
        if not _client:
            _client.append(DBOSClient(system_database_url=URL))
        _client[0].enqueue({"queue_name": "bench", "workflow_name": "order", "app_version": "1"}, run)
        return
    if not _client:
        _client.append(connect())
    with _client[0].cursor() as cursor:
        cursor.execute("INSERT INTO wanted VALUES (%s)", (run,))


def work():
    """Two processes."""
    if "EXECUTOR" not in os.environ:
        command = [sys.executable, __file__, "work"]
        others = [subprocess.Popen(command, env={**os.environ, "EXECUTOR": name}) for name in ("1", "2")]  # noqa: S603 - ours

        def end(*_):
            for other in others:
                other.kill()
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        for other in others:
            other.wait()
        return
    DBOS.launch()
    if QUEUED:
        signal.pause()
    threads = ThreadPoolExecutor(8)
    with connect().cursor() as cursor:
        while True:
            cursor.execute(
                "DELETE FROM wanted WHERE run IN (SELECT run FROM wanted ORDER BY run LIMIT 16 FOR UPDATE SKIP LOCKED) "
                "RETURNING run"
            )
            runs = [run for (run,) in cursor.fetchall()]
            list(threads.map(order, runs))
            if not runs:
                time.sleep(0.002)


if __name__ == "__main__":
    main(setup=setup, start=start, work=work)
