"""``manage.py sagas …``: everything that operators do with the engine on a command line."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from sagas.api import erase
from sagas.conf import Misconfigured, config
from sagas.db import ConnectionLost, describe_error
from sagas.errors import SagaError
from sagas.escalations import reopening
from sagas.management import (
    actions,
    alive,
    archive,
    barrier,
    dead_events,
    grants,
    graph,
    metrics,
    pauses,
    prune,
    restored,
    runs,
    sla,
    work,
)
from sagas.management.person import user_here
from sagas.operations import doctor
from sagas.operations.doctor import Severity
from sagas.requirements import extras

#: Subcommands of RabbitMQ. They are in a module that needs Celery, and are there if there is a broker.
_NEED_THE_BROKER = frozenset({"topology", "dispatch", "listen", "dead"})

#: Subcommands with a module of their own.
_MODULES: dict[str, Any] = {
    "dead": dead_events,
    "work": work,
    "alive": alive,
    "metrics": metrics,
    "sla": sla,
    "restored": restored,
    "grants": grants,
    "barrier": barrier,
    "prune": prune,
    "archive": archive,
    "graph": graph,
    "list": runs,
}


class Command(BaseCommand):
    """The command: each subcommand is a method here or a module."""

    help = (
        "The saga engine: work | topology | dispatch | listen | dead | doctor | alive | metrics | sla | reopen | "
        "restored | retry | cancel | confirm | resume | resolve | rerun | pause | unpause | pauses | erase | prune | "
        "archive | grants | barrier | graph | list."
    )
    # A saga that cannot be imported fails the checks. The other sagas must be dispatched all the same.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        work.add_arguments(
            commands.add_parser("work", help="Claim and perform what is due in this program: no broker is needed.")
        )
        if _has_broker():
            # Without one, Celery need not be installed.
            from sagas.management import broker  # noqa: PLC0415

            broker.add_parsers(commands)
        elif lack := extras.celery():
            for name in sorted(_NEED_THE_BROKER):
                # It takes any arguments, to say the same whatever is given.
                refused = commands.add_parser(name, help=str(lack), prefix_chars="\0", add_help=False)
                refused.add_argument("arguments", nargs="*")
        else:
            dead_events.add_arguments(
                commands.add_parser("dead", help="Show the events that a listener could not take; replay or drop them.")
            )

        commands.add_parser("doctor", help="Look everything over; exit code 1 when something is wrong.")

        alive.add_arguments(
            commands.add_parser(
                "alive", help="Exit code 1 if a worker of this machine is not alive: for health checks."
            )
        )

        metrics.add_arguments(commands.add_parser("metrics", help="Print all metrics, or serve them to Prometheus."))

        sla.add_arguments(commands.add_parser("sla", help="Print what became of the service levels over a time."))

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
        erasing.add_argument("--by", default=f"manage.py {user_here()}", help="Who erases, for the record.")

        prune.add_arguments(
            commands.add_parser("prune", help="Delete runs that ended longer ago than SAGAS['RETENTION'] keeps them.")
        )
        archive.add_arguments(
            commands.add_parser("archive", help="The same, but first write them to files, without personal data.")
        )

        actions.add_parsers(commands)
        pauses.add_parsers(commands)

        runs.add_arguments(commands.add_parser("list", help="List the runs that a line describes."))

        graph.add_arguments(
            commands.add_parser("graph", help="Print the steps of a saga as Mermaid, for documents, or as SVG.")
        )

        grants.add_arguments(
            commands.add_parser("grants", help="Show, or apply, what the application's role may do in the database.")
        )

        barrier.add_arguments(
            commands.add_parser("barrier", help="Delete the barrier rows of runs that ended long ago.")
        )

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand, and report its errors in one line."""
        try:
            with _broker_errors():
                match command:
                    case "doctor":
                        self._doctor()
                    case "reopen":
                        self._reopen()
                    case "erase":
                        self._erase(options["business_key"], options["by"])
                    case _ if command in actions.NAMES:
                        actions.run(self.stdout, command=command, **options)
                    case _ if command in pauses.NAMES:
                        pauses.run(self.stdout, command=command, **options)
                    case _ if command in _NEED_THE_BROKER and _has_broker():
                        from sagas.management import broker  # noqa: PLC0415 - see add_arguments

                        broker.run(command, self.stdout, **options)
                    case _ if command in _NEED_THE_BROKER and (lack := extras.celery()):
                        raise CommandError(str(lack))
                    case _:
                        _MODULES[command].run(self.stdout, **options)
        except SagaError as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, InterfaceError, ConnectionLost) as error:
            msg = f"the database cannot be worked with: {describe_error(error)}"
            raise CommandError(msg) from error

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


def _has_broker() -> bool:
    try:
        return config().broker is not None and not extras.celery()
    except Misconfigured:
        return extras.is_installed("celery")  # the subcommand, or the doctor, reports it


def _broker_errors() -> AbstractContextManager[None]:
    if not _has_broker():
        return nullcontext()
    from sagas.management import broker  # noqa: PLC0415 - see add_arguments

    return broker.errors_in_one_line()
