"""``manage.py sagas …``: set up RabbitMQ, dispatch by hand, look at what was set aside."""

from __future__ import annotations

import json
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu.exceptions import OperationalError

from sagas import topology
from sagas.dispatch import dispatch
from sagas.management import barrier


class Command(BaseCommand):
    """Group of subcommands."""

    help = "The saga engine: topology | dispatch | dead | barrier."
    # One saga that cannot be imported is an error of the checks, and no reason to leave the others lying.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="command", required=True)
        declaring = commands.add_parser(
            "topology", help="Declare every queue and exchange in RabbitMQ. Part of a deploy."
        )
        declaring.add_argument(
            "--replace",
            action="store_true",
            help="Renew queues that were declared with other arguments, if they are empty and not consumed.",
        )
        sending = commands.add_parser("dispatch", help="Claim what is due and publish it: for cron and serverless.")
        sending.add_argument("--once", action="store_true", required=True, help="One pass; the only mode there is.")
        dead = commands.add_parser("dead", help="Show the messages that were set aside as poison; they stay there.")
        dead.add_argument("--limit", type=int, default=20, help="How many to show.")

        barrier.add_arguments(
            commands.add_parser("barrier", help="Delete the barrier rows of runs that ended long ago.")
        )

    def handle(self, *, command: str, **options: Any) -> None:
        """Run one of them."""
        try:
            match command:
                case "topology":
                    self._topology(replace=options["replace"])
                case "dispatch":
                    self._dispatch()
                case "dead":
                    self._dead(options["limit"])
                case "barrier":
                    barrier.run(self.stdout, **options)
        except (OperationalError, OSError) as error:
            msg = f"RabbitMQ does not answer: {error}. Check RABBITMQ_URL and that the server runs."
            raise CommandError(msg) from error

    def _topology(self, *, replace: bool) -> None:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=3)
            differing = topology.declare(connection, replace=replace)
        names = [queue.name for queue in [topology.dead(), *topology.consumed(), *topology.delays()]]
        self.stdout.write(f"declared {len(names)} queues: {', '.join(names)}")
        if differing and replace:
            msg = f"not replaced, for they hold messages or are consumed: {', '.join(differing)}"
            raise CommandError(msg)

    def _dispatch(self) -> None:
        while dispatch():
            pass
        while dispatch(lapsed=True):
            pass
        self.stdout.write("dispatched all that was due")

    def _dead(self, limit: int) -> None:
        with current_app.connection_for_write() as connection, connection.channel() as opened:
            channel: Any = opened
            shown = 0
            # Not acked: closing the channel puts them back where they were.
            while shown < limit and (message := channel.basic_get(topology.DEAD, no_ack=False)) is not None:
                headers = dict(message.headers or {})
                death = (headers.get("x-death") or [{}])[0]
                self.stdout.write(
                    json.dumps(
                        {
                            "task": headers.get("task"),
                            "id": headers.get("id"),
                            "from": death.get("queue"),
                            "reason": death.get("reason"),
                            "body": str(message.body)[:500],
                        }
                    )
                )
                shown += 1
        self.stdout.write(f"{shown} message(s) shown")
