"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Ports from 32768 on are ephemeral on Linux: an outgoing connection may use one when a server starts.
_CANDIDATES: Final = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do, so that connections of the last run in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(taken: Collection[int]) -> int:
    """Return a free port that is not among those taken.

    It is drawn at random, so that two instances that start at the same moment rarely choose the same.
    """
    while True:
        port = random.choice(_CANDIDATES)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
