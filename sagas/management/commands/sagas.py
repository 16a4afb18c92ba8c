"""``manage.py sagas …``: everything that operators do with the engine on a command line."""

from __future__ import annotations

import getpass
from typing import Any

from amqp.exceptions import AMQPError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError

from sagas.api import erase
from sagas.db import ConnectionLost, describe_error
from sagas.errors import SagaError
from sagas.escalations import reopening
from sagas.management import barrier, dead, grants, restored
from sagas.messaging import relay, topology
from sagas.messaging.app import engine_app, find_unfit_settings
from sagas.messaging.dispatcher import dispatch, publish_notices
from sagas.messaging.publisher import is_from_broker
from sagas.operations import doctor
from sagas.operations.doctor import Severity
from sagas.requirements import software

#: Subcommands that publish or declare, which refuse unfit versions and settings. The others run all the same.
_NEED_THE_BROKER = frozenset({"topology", "dispatch", "dead"})

#: Subcommands with a module of their own.
_MODULES: dict[str, Any] = {"dead": dead, "restored": restored, "grants": grants, "barrier": barrier}


class Command(BaseCommand):
    """The command: each subcommand is a method here or a module."""

    help = "The saga engine: topology | dispatch | dead | doctor | reopen | restored | erase | grants | barrier."
    # A saga that cannot be imported fails the checks. The other sagas must be dispatched all the same.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
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
        dead.add_arguments(
            commands.add_parser("dead", help="Show the messages that were set aside as poison; replay or drop them.")
        )

        commands.add_parser("doctor", help="Look everything over; exit code 1 when something is wrong.")

        commands.add_parser(
            "reopen", help="Open escalations anew for escalated runs that have none, so the doctor says."
        )

        restored.add_arguments(
            commands.add_parser("restored", help="First of all after a restore from an older copy of the database.")
        )

        erasing = commands.add_parser(
            "erase", help="Overwrite what is personal in the finished runs of a business key."
        )
        erasing.add_argument("--business-key", required=True, help="What people know the runs by.")
        erasing.add_argument("--by", default=f"manage.py {getpass.getuser()}", help="Who erases, for the record.")

        grants.add_arguments(
            commands.add_parser("grants", help="Show, or apply, what the application's role may do in the database.")
        )

        barrier.add_arguments(
            commands.add_parser("barrier", help="Delete the barrier rows of runs that ended long ago.")
        )

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand, and report its errors in one line."""
        if command in _NEED_THE_BROKER and (found := [*software.lacking(), *find_unfit_settings()]):
            raise CommandError("\n".join(map(str, found)))
        try:
            match command:
                case "topology":
                    self._topology(replace=options["replace"])
                case "dispatch":
                    self._dispatch()
                case "doctor":
                    self._doctor()
                case "reopen":
                    self._reopen()
                case "erase":
                    self._erase(options["business_key"], options["by"])
                case _:
                    _MODULES[command].run(self.stdout, **options)
        except SagaError as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, InterfaceError, ConnectionLost) as error:
            msg = f"the database cannot be worked with: {describe_error(error)}"
            raise CommandError(msg) from error
        except AMQPError as error:
            msg = f"RabbitMQ refuses: {describe_error(error)}. Declare its queues: manage.py sagas topology"
            raise CommandError(msg) from error
        except (OperationalError, OSError) as error:
            if not is_from_broker(error):
                raise
            msg = f"RabbitMQ does not answer: {describe_error(error)}. Check the broker's URL and that the server runs."
            raise CommandError(msg) from error

    def _topology(self, *, replace: bool) -> None:
        with engine_app().connection_for_write() as connection:
            connection.ensure_connection(max_retries=3)
            differing = topology.declare(connection, replace=replace)
        names = [queue.name for queue in topology.all_queues()]
        self.stdout.write(f"declared {len(names)} queues: {', '.join(names)}")
        if differing and replace:
            msg = f"not replaced, for they hold messages or are consumed: {', '.join(differing)}"
            raise CommandError(msg)

    def _dispatch(self) -> None:
        while dispatch():
            pass
        while dispatch(lapsed=True):
            pass
        while publish_notices():
            pass
        while relay.relay(engine_app()):
            pass
        self.stdout.write("dispatched all that was due")

    def _doctor(self) -> None:
        findings = doctor.examine()
        styles = {
            Severity.ERROR: self.style.ERROR,
            Severity.WARNING: self.style.WARNING,
            Severity.FINE: self.style.SUCCESS,
        }
        for finding in findings:
            self.stdout.write(f"{styles[finding.severity](f'{finding.severity:<8}')} {finding.what}")
            if finding.remedy:
                self.stdout.write(f"{'':<8} → {finding.remedy}")
        wrong = sum(finding.severity is Severity.ERROR for finding in findings)
        if wrong:
            msg = f"{wrong} thing(s) are wrong"
            raise CommandError(msg)
        self.stdout.write("nothing is wrong")

    def _reopen(self) -> None:
        ids = reopening.reopen_lost_escalations()
        for run_id in ids:
            self.stdout.write(f"opened an escalation of run {run_id}")
        self.stdout.write(f"opened {len(ids)}: see Escalations in the admin")

    def _erase(self, business_key: str, by: str) -> None:
        try:
            erasure = erase(business_key=business_key, by=by)
        except (SagaError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"erased what is personal in {len(erasure.changed)} of {len(erasure.runs)} run(s) of {business_key}"
        )
