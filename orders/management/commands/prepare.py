"""``manage.py prepare``: all that `make run` needs before web and workers start, in one process."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from sagas.conf import config


class Command(BaseCommand):
    """Make or change the tables, declare RabbitMQ's queues if there is one, and create missing demo data.

    The last line of the output is that of ``seed --json``.
    """

    help = "Migrate, declare the queues, and make the demo data; safe to repeat."
    # The first part checks all, with the database.
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Do one after the other."""
        call_command("migrate", interactive=False, skip_checks=False, stdout=self.stdout)
        if config().broker is not None:
            call_command("sagas", "topology", stdout=self.stdout)
        call_command("seed", json=True, stdout=self.stdout)
