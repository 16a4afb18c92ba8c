"""procrastinate: a job a step, each defers the next in the transaction of its effect; LISTEN and NOTIFY, two processes.

Its jobs are asynchronous, sixteen at a time in a process.
"""

import os
import signal
import subprocess
import sys

from common import NOTE, SKUS, TAKE, main
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from psycopg_pool import AsyncConnectionPool

URL = os.environ["DATABASE_URL"]
WORKS = "work" in sys.argv
app = App(connector=PsycopgConnector(conninfo=URL, max_size=20) if WORKS else SyncPsycopgConnector(conninfo=URL))
pool = AsyncConnectionPool(URL, open=False, min_size=4, max_size=16)


@app.task(name="step", queue="bench", pass_context=False)
async def step(run, number):
    """One step, and the next one's job."""
    if pool.closed:
        await pool.open()
    async with pool.connection() as connection:
        await connection.execute(TAKE, (run % SKUS,))
        await connection.execute(NOTE, (run, number))
    if number < 4:
        await step.defer_async(run=run, number=number + 1)


def setup():
    """Make the engine's tables."""
    app.schema_manager.apply_schema()


def start(run):
    """Defer the first job."""
    step.defer(run=run, number=1)


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
    app.run_worker(queues=["bench"], concurrency=16, listen_notify=True, delete_jobs="never")


if __name__ == "__main__":
    if not WORKS:
        app.open()
    main(setup=setup, start=start, work=work)
