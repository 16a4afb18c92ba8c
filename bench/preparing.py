"""The empty database and the queues, as every measure finds them."""

from __future__ import annotations

from django.core.management import call_command

from sagas.messaging.app import app
from sagas.messaging.topology import declare


def prepare() -> None:
    """Make the tables and the queues of the servers whose URLs are in the environment."""
    call_command("migrate", verbosity=0)
    with app.connection_for_write() as broker:
        declare(broker)
