"""``manage.py reconcile``: check everything, or at once what was changed; list what is open; repair with a reason."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.reconciliation import checking, findings, incidents, passes
from orders.reconciliation.following import publication
from orders.reconciliation.following.follower import Follower, open_slot
from orders.reconciliation.invariants import BY_NAME, INVARIANTS
from orders.reconciliation.models import Finding
from sagas.invariants import RepairRefused, Violation


class Command(BaseCommand):
    """Find what contradicts itself. It reads without locks, part by part, so orders may flow meanwhile."""

    help = "Check stock, coupons, slots, money and campaigns against the runs and their logs; repair what is found."

    def add_arguments(self, parser: CommandParser) -> None:
        """Without a subcommand everything is checked."""
        parser.add_argument("--only", action="append", metavar="INVARIANT", choices=sorted(BY_NAME), help="Check this.")
        parser.add_argument("--dry-run", action="store_true", help="Print what is found, and keep nothing of it.")
        commands = parser.add_subparsers(dest="command")
        commands.add_parser("invariants", help="print the invariants")
        commands.add_parser("open", help="print the findings that are open, with their numbers")
        repair = commands.add_parser("repair", help="print what would repair a finding; with --make, do it")
        repair.add_argument("finding", type=int, help="Its number.")
        repair.add_argument("--make", action="store_true", help="Repair it.")
        repair.add_argument("--reason", default="", help="Why, for the record.")
        repair.add_argument("--by", default="", help="Who, for the record.")

        follow = commands.add_parser("follow", help="check at once what the write-ahead log says was changed")
        follow.add_argument("--prepare", action="store_true", help="Make what it needs, as the owner of the tables.")
        follow.add_argument("--role", default="", help="With --prepare: the role that is to read the log.")
        follow.add_argument(
            "--dry-run", action="store_true", help="With --prepare: print the SQL, and execute nothing."
        )
        follow.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="Between two looks.")
        follow.add_argument("--once", action="store_true", help="Read what is there, and end.")

    def handle(self, *, command: str | None, **options: Any) -> None:
        """Do it, and print what was found."""
        match command:
            case "invariants":
                for invariant in INVARIANTS:
                    self.stdout.write(f"{invariant.name}: {invariant.says}")
            case "open":
                for finding in Finding.objects.filter(resolved_at=None).order_by("id").iterator():
                    self._print(str(finding.pk), findings.violation_of(finding))
            case "repair":
                self._repair(options["finding"], make=options["make"], reason=options["reason"], by=options["by"])
            case "follow" if options["prepare"]:
                self._prepare(options["role"], dry_run=options["dry_run"])
            case "follow":
                self._follow(options["every"], once=options["once"])
            case _:
                self._check(options["only"], keep=not options["dry_run"])

    def _check(self, only: list[str] | None, *, keep: bool) -> None:
        wanted = [BY_NAME[name] for name in only] if only else INVARIANTS
        count = keys = 0
        for part in passes.over_everything(wanted) if keep else checking.check_all(wanted):
            keys += len(part.keys)
            count += len(part.violations)
            for violation in part.violations:
                self._print("-", violation)
        if keep:
            incidents.close_resolved()
        self.stdout.write(f"{len(wanted)} invariants at {keys} keys: {count or 'no'} violation(s)")
        if count:
            msg = f"{count} violation(s) were found"
            raise CommandError(msg)

    def _prepare(self, role: str, *, dry_run: bool) -> None:
        try:
            publication.check_server()
            made = publication.statements(role=role) if dry_run else publication.prepare(role=role)
        except publication.NotPrepared as error:
            raise CommandError(str(error)) from error
        for sql in made:
            self.stdout.write(f"{sql};")
        if not made:
            self.stdout.write("Everything is there.")

    def _follow(self, every: float, *, once: bool) -> None:
        try:
            publication.check_server()
        except publication.NotPrepared as error:
            self._scan(error, once=once)
            return
        try:
            publication.check_publication()
        except publication.NotPrepared as error:
            raise CommandError(str(error)) from error
        with closing(open_slot(settings.RECONCILE_FOLLOW_URL)) as slot:
            follower = Follower(slot)
            self._repeat(lambda: self._poll(follower, quiet=not once), every, once=once)

    def _poll(self, follower: Follower, *, quiet: bool) -> bool:
        """Look once; return whether there is more."""
        polled = follower.poll()
        for violation in polled.violations:
            self._print("-", violation)
        if polled.violations:
            incidents.close_resolved()
        if not quiet or polled.scanned:
            what = "everything was checked" if polled.scanned else f"{polled.transactions} transactions"
            found = len(polled.violations) or "no"
            self.stdout.write(f"{what}: {polled.keys} keys, {found} violation(s), {polled.behind >> 10} KiB behind")
        return polled.behind > 0

    def _scan(self, why: Exception, *, once: bool) -> None:
        """Without the log: check everything, again and again."""
        self.stderr.write(f"The log cannot be followed, so everything is checked, again and again. {why}")

        def scan() -> bool:
            with suppress(CommandError):
                self._check(None, keep=True)
            return False

        self._repeat(scan, max(settings.RECONCILE_SECONDS, 60.0), once=once)

    def _repeat(self, look: Callable[[], bool], every: float, *, once: bool) -> None:
        """Look until the process is told to stop; at least as long as a look takes, it rests."""
        stopped = threading.Event()
        if not once:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, lambda *_: stopped.set())
        while not stopped.is_set():
            began = time.monotonic()
            more = look()
            if once and not more:
                break
            if not more:
                stopped.wait(max(every, time.monotonic() - began))

    def _print(self, number: str, violation: Violation) -> None:
        invariant = BY_NAME.get(violation.invariant)
        run = f" run {violation.run_id}" if violation.run_id else ""
        self.stdout.write(f"{number} {violation.invariant}: {violation.row}{run}")
        if invariant is not None:
            self.stdout.write(f"    found: {invariant.describe(violation)}")
            how = "repair" if invariant.repair else "for a person"
            self.stdout.write(f"    {how}: {invariant.propose(violation)}")

    def _repair(self, number: int, *, make: bool, reason: str, by: str) -> None:
        finding = Finding.objects.filter(pk=number).first()
        if finding is None:
            msg = f"there is no finding {number}"
            raise CommandError(msg)
        self._print(str(number), findings.violation_of(finding))
        if not make:
            self.stdout.write("Nothing was changed. With --make --reason … --by … it is repaired.")
            return
        try:
            findings.repair(finding_id=number, reason=reason, by=by)
        except RepairRefused as refused:
            raise CommandError(str(refused)) from refused
        incidents.close_resolved()
        self.stdout.write("It is right now.")
