"""``manage.py reconcile``: check everything against everything, list what is open, repair with a reason."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from orders.reconciliation import checking, findings, incidents
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
            case _:
                self._check(options["only"], keep=not options["dry_run"])

    def _check(self, only: list[str] | None, *, keep: bool) -> None:
        wanted = [BY_NAME[name] for name in only] if only else INVARIANTS
        count = keys = 0
        at = findings.clock()
        for part in checking.check_all(wanted):
            keys += len(part.keys)
            count += len(part.violations)
            for violation in part.violations:
                self._print("-", violation)
            if keep:
                with transaction.atomic():
                    names = [invariant.name for invariant in part.invariants]
                    incidents.open_for(findings.record(part.keys, names, part.violations, at))
            at = findings.clock()
        if keep:
            incidents.close_resolved()
        self.stdout.write(f"{len(wanted)} invariants at {keys} keys: {count or 'no'} violation(s)")
        if count:
            msg = f"{count} violation(s) were found"
            raise CommandError(msg)

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
