"""A process of ``manage.py sagas work``: its parent starts it, with the socket between them and its queues."""

from __future__ import annotations

import logging
import os
import socket
import sys

import django


def main() -> None:
    """Work until told to stop."""
    django.setup()
    # It needs the apps.
    from sagas.local.activity import process_name  # noqa: PLC0415
    from sagas.local.worker import Worker  # noqa: PLC0415

    logging.getLogger("sagas.local").info("sagas: process %d is ready.", os.getpid())
    queues = [queue for queue in sys.argv[2].split(",") if queue]
    Worker(socket.socket(fileno=int(sys.argv[1])), process_name(os.getpid(), socket.gethostname()), queues).run()


main()
