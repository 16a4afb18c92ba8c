"""Repairs of a pool whose counts contradict its holds, or of whose holds nobody sees to. A person gives the reason."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction

from sagas import store
from sagas.invariants import RepairRefused, Violation
from sagas.pool.models import Hold, HoldState, Pool
from sagas.states import State


class PoolRepairs:
    """The repairs of one pool in the engine's database. Who keeps a ledger writes into it by ``note``."""

    def __init__(self, pool: type[Pool], hold: type[Hold]) -> None:
        self.pool, self.hold = pool, hold

    def recount(self, violation: Violation, *, reason: str, by: str) -> None:
        """Set the counts of a row to what its holds come to, behind the row's lock.

        Who changes holds has this lock, too, at their commit: so holds and counts are read as one commit has left them.
        """
        with transaction.atomic():
            row = self.lock(violation.key)
            held, sold = self.sums(violation.key)
            self.write(row, held=held, sold=sold + row.settled, returned=0)
            self.note(row, reason=reason, by=by)

    def release(self, violation: Violation, *, reason: str, by: str) -> None:
        """Cancel a hold of a run that is undone or gone, and make its quantity available; the run is locked first."""
        with transaction.atomic():
            run_id = violation.run_id
            assert run_id is not None
            states = {row.id: row.state for row in store.runs.lock([run_id])}
            if states.get(run_id, State.FAILED) is not State.FAILED:
                msg = f"Run {run_id} is {states[run_id]}: its holds are its own, or a person has to settle them."
                raise RepairRefused(msg)
            # The row before the hold, as everybody.
            row = self.lock(str(violation.data["pool_key"]))
            hold: Any = self.hold._default_manager.select_for_update().filter(pk=violation.data["hold"]).first()
            if hold is None or hold.state != HoldState.HELD:
                msg = f"It is {hold.state if hold else 'gone'} by now, and only what is held is released."
                raise RepairRefused(msg)
            self.end(hold)
            held, sold = self.sums(hold.pool_key)
            self.write(row, held=held, sold=sold + row.settled, returned=hold.quantity)
            self.note(row, reason=reason, by=by)

    def lock(self, key: str) -> Pool:
        """Lock a row, and with it its holds."""
        row = self.pool._default_manager.select_for_update(no_key=True).filter(pk=key).first()
        if row is None:
            msg = f"There is no row {key} of {self.pool._meta.db_table}."
            raise RepairRefused(msg)
        return row

    def sums(self, key: str) -> tuple[int, int]:
        """What is held and sold by the holds of a locked row."""
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT COALESCE(sum(quantity) FILTER (WHERE state = 'HELD'), 0)::bigint, "
                "COALESCE(sum(quantity) FILTER (WHERE state = 'CONFIRMED'), 0)::bigint "
                f'FROM "{self.hold._meta.db_table}" WHERE pool_key = %s',
                [key],
            )
            held, sold = cursor.fetchone()
        return int(held), int(sold)

    def end(self, hold: Any) -> None:
        """Write a hold as cancelled."""
        self.hold._default_manager.filter(pk=hold.pk).update(state=HoldState.CANCELLED)

    def write(self, row: Pool, *, held: int, sold: int, returned: int) -> None:
        """Write the counts of a locked row. What is available is not known by holds: it only grows by what returns."""
        row.held, row.sold, row.available = held, sold, row.available + returned
        row.save(update_fields=["held", "sold", "available"])

    def note(self, row: Pool, *, reason: str, by: str) -> None:
        """Write into the row's ledger, if it has one."""
