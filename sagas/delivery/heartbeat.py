"""The heartbeat of a process: every few seconds it writes into the database what the process is doing.

Only people, monitoring and health checks read it. It has a thread of its own, so that it tells of a process that is at
one participant for long, and so that a stalled database stops nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import Error, connection

from sagas import store

logger = logging.getLogger(__name__)

#: Seconds between two beats.
PERIOD = 4.0


class Heartbeat(threading.Thread):
    """Writes what a process is doing, until it is stopped.

    Args:
        name: of the process.
        look: says what it is doing; ``None`` if it hangs, and is to count as silent.
    """

    def __init__(self, name: str, look: Callable[[], store.workers.Heartbeat | None]) -> None:
        super().__init__(name="sagas-heartbeat", daemon=True)
        self.worker = name
        self.look = look
        self.stopping = threading.Event()

    def run(self) -> None:
        """Write, whatever happens to the database."""
        failing = False
        while True:
            stopping = self.stopping.is_set()
            try:
                if stopping:
                    store.workers.forget(self.worker)
                elif (beat := self.look()) is not None:
                    store.workers.record_heartbeat(beat)
                failing = False
            except Error as error:
                if not failing:
                    logger.warning("sagas: the worker's heartbeat is not written (%s); trying again", error)
                failing = True
            except Exception:
                # Not expected, and no reason to end a worker.
                logger.exception("sagas: the worker's heartbeat met an error, and goes on")
            finally:
                # Not kept, for children that are forked later would inherit it.
                connection.close()
            if stopping:
                return
            self.stopping.wait(PERIOD)

    def stop(self) -> None:
        """Have the row of the process deleted; do not wait for long."""
        self.stopping.set()
        self.join(timeout=1.0)
