"""``manage.py sagas topology``, ``dispatch`` and ``listen``; what RabbitMQ's errors mean. Only with a broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from django.core.management.base import CommandError, CommandParser, OutputWrapper
from kombu.exceptions import OperationalError

from sagas.db import describe_error
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.dispatching import dispatch, publish_notices
from sagas.management import dead, listen
from sagas.messaging import relay, topology
from sagas.messaging.app import engine_app, find_unfit_settings
from sagas.messaging.publisher import Publisher, is_from_broker, publish_gathered
from sagas.requirements import software


def add_parsers(commands: Any) -> None:
    """Add the subcommands that publish or declare."""
    declaring: CommandParser = commands.add_parser(
        "topology", help="Declare every queue and exchange in RabbitMQ. Part of a deploy."
    )
    declaring.add_argument(
        "--replace",
        action="store_true",
        help="Renew queues that were declared with other arguments, if they are empty and not consumed.",
    )
    sending: CommandParser = commands.add_parser(
        "dispatch", help="Claim what is due and publish it: for cron and serverless."
    )
    sending.add_argument("--once", action="store_true", required=True, help="One pass; the only mode there is.")
    listen.add_arguments(
        commands.add_parser("listen", help="Give RabbitMQ's events to one of the project's listeners.")
    )
    dead.add_arguments(
        commands.add_parser("dead", help="Show the messages that were set aside as poison; replay or drop them.")
    )


def run(command: str, out: OutputWrapper, **options: Any) -> None:
    """Run a subcommand, if the versions and settings are fit for it."""
    if found := [*software.lacking(), *find_unfit_settings()]:
        raise CommandError("\n".join(map(str, found)))
    match command:
        case "topology":
            _declare(out, replace=options["replace"])
        case "dispatch":
            _dispatch(out)
        case "listen":
            listen.run(out, **options)
        case _:
            dead.run(out, **options)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Report RabbitMQ's errors in one line."""
    try:
        yield
    except (CarrierAway, AMQPError, OperationalError, OSError) as raised:
        error = raised.__cause__ if isinstance(raised, CarrierAway) and raised.__cause__ else raised
        if isinstance(error, AMQPError | MessageNacked):
            msg = f"RabbitMQ refuses: {describe_error(error)}. Declare its queues: manage.py sagas topology"
        elif error is raised and not is_from_broker(error):
            raise
        else:
            msg = f"RabbitMQ does not answer: {describe_error(error)}. Check the broker's URL and that the server runs."
        raise CommandError(msg) from raised


def _declare(out: OutputWrapper, *, replace: bool) -> None:
    with engine_app().connection_for_write() as connection:
        connection.ensure_connection(max_retries=3)
        differing = topology.declare(connection, replace=replace)
    names = [queue.name for queue in topology.all_queues()]
    out.write(f"declared {len(names)} queues: {', '.join(names)}")
    if differing and replace:
        msg = f"not replaced, for they hold messages or are consumed: {', '.join(differing)}"
        raise CommandError(msg)


def _dispatch(out: OutputWrapper) -> None:
    while dispatch(Publisher):
        pass
    while dispatch(Publisher, lapsed=True):
        pass
    publish_gathered(engine_app(), at_once=True)
    while publish_notices(Publisher):
        pass
    while relay.relay(engine_app()):
        pass
    out.write("dispatched all that was due")
