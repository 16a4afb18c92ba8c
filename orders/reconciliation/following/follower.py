"""The follower: reads the slot, checks what the changed rows concern, writes what it finds, and only then advances.

It dies between two of these: the same transactions come again, and what is found again is found once. What it has done
with is kept with the findings, in the same transaction, so that what comes again is skipped, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from environ import Env

from orders.reconciliation import checking, findings, incidents, passes
from orders.reconciliation.following import publication
from orders.reconciliation.following.sources import TABLES, WALKS, Source
from sagas.db import array
from sagas.invariants import Violation
from sagas.replication import Begin, Change, Commit, Slot, Standing, Truncate, position, written

logger = logging.getLogger(__name__)

#: Keys that are checked, and written about, in one transaction; and of one walk those that are kept of one transaction
#: that changed more: then the whole walk is checked instead.
BATCH: Final = 2000
MOST: Final = 20_000
#: Bytes of the log that are read at a time: the reader's snapshot keeps PostgreSQL from vacuuming meanwhile.
STRIDE: Final = 64 * 2**20
#: The name under which the position is kept, beside the passes.
_NAME: Final = "follow"


@dataclass(frozen=True, slots=True)
class By:
    """The transaction that changed something last."""

    xid: int
    commit: int

    def __str__(self) -> str:
        return f"{self.xid}, committed at {written(self.commit)}"


@dataclass(slots=True)
class Batch:
    """What some transactions have changed.

    Attributes:
        touched: by source, values of its column, with who changed them.
        whole: walks of which everything is to be checked.
        transactions: how many.
        end: the position behind the last one.
        at: when that was committed.
        last: which it is.
    """

    touched: dict[Source, dict[str, By]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    transactions: int = 0
    end: int = 0
    at: datetime | None = None
    last: By = By(0, 0)

    @property
    def size(self) -> int:
        """How many values there are."""
        return sum(map(len, self.touched.values()))

    def add(self, change: Change, by: By) -> set[str]:
        """Note the keys of a row's images; return the walks of whose keys a deleted row says nothing."""
        untold: set[str] = set()
        published = TABLES.get(change.table)
        if published is None:
            return untold
        for source in published.sources:
            if source.of_deleted and change.kind != "delete":
                continue
            for row in change.rows:
                if (value := row.get(source.column)) is not None:
                    self._note(source, value, by)
            if change.kind == "delete" and source.column not in published.told_of_deleted:
                untold.add(source.walk)
        return untold

    def _note(self, source: Source, value: str, by: By) -> None:
        if source.walk in self.whole:
            return
        values = self.touched.setdefault(source, {})
        values[value] = by
        if len(values) > MOST:
            self.whole.add(source.walk)
            self.touched = {kept: keys for kept, keys in self.touched.items() if kept.walk != source.walk}


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look at the log has come to.

    Attributes:
        transactions: that were read.
        keys: that were checked.
        violations: what was found.
        behind: bytes of the log that are left.
        scanned: whether everything was checked, because a part of the log is lost.
    """

    transactions: int = 0
    keys: int = 0
    violations: tuple[Violation, ...] = ()
    behind: int = 0
    scanned: bool = False


def open_slot(url: str = "") -> Slot:
    """The slot of this database, in a session of its own.

    Args:
        url: of the database, with a role that has REPLICATION; without it, as all else is read.
    """
    session = connections[DEFAULT_DB_ALIAS].copy(_NAME)
    if url:
        session.settings_dict |= {
            key: value for key, value in Env.db_url_config(url).items() if key in {"USER", "PASSWORD", "HOST", "PORT"}
        }
    # The server may read much of the log before it answers.
    options = {key: value for key, value in session.settings_dict["OPTIONS"].items() if key != "patience"}
    session.settings_dict["OPTIONS"] = options
    return slot_of(session)


def slot_of(session: Any) -> Slot:
    """The slot of a session's database."""
    return Slot(session, name=f"{session.settings_dict['NAME']}_reconcile", publications=publication.NAMES)


class Follower:
    """Follows one slot; one process at a time can.

    Args:
        slot: it is created if it is not there.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._warned = ""

    def poll(self) -> Polled:
        """Read what was committed, check it, write what was found, and advance the slot."""
        standing = self._slot.standing()
        if standing is None or standing.wal_status == "lost":
            return self._begin_anew(standing)
        self._warn(standing)
        done = self._done(standing)
        to = min(standing.end, standing.end - standing.behind + STRIDE)
        polled, batch, by, skips = Polled(), Batch(), None, False
        untold: set[str] = set()
        is_pruned = False
        for message in self._slot.peek(to=to):
            match message:
                case Begin(xid, commit, at):
                    by, skips, untold, is_pruned = By(xid, commit), commit < done, set(), False
                    batch.at, batch.last = at, by
                case Change() if by is not None and not skips:
                    untold |= batch.add(message, by)
                    is_pruned = is_pruned or (message.kind == "delete" and message.table == "sagas_run")
                case Truncate(tables) if not skips:
                    batch.whole |= {source.walk for table in tables for source in TABLES[table].sources}
                case Commit(_, end) if not skips:
                    # What is deleted with old runs is theirs.
                    batch.whole |= set() if is_pruned else untold
                    batch.transactions, batch.end = batch.transactions + 1, end
                    if batch.size >= BATCH:
                        polled, batch = self._settle(batch, polled), Batch()
        if batch.transactions:
            polled = self._settle(batch, polled)
        self._slot.advance(to)
        return replace(polled, behind=max(standing.end - to, 0))

    def _begin_anew(self, standing: Standing | None) -> Polled:
        """Create the slot, and then check everything: what is committed meanwhile is in the slot."""
        if standing is not None:
            logger.error("reconciliation: a part of the log is lost before it was read; everything is checked")
            self._slot.drop()
        self._slot.create()
        passes.begin()
        keys = 0
        found: list[Violation] = []
        for part in passes.over_everything():
            keys += len(part.keys)
            found += part.violations
        return Polled(keys=keys, violations=tuple(found), scanned=True)

    def _warn(self, standing: Standing) -> None:
        if standing.wal_status != self._warned and standing.wal_status in {"extended", "unreserved"}:
            logger.error(
                "reconciliation: the log is kept for the slot %s beyond its size (%s, %s MiB behind): at the next "
                "checkpoint a part may be lost",
                self._slot.name,
                standing.wal_status,
                standing.behind >> 20,
            )
        self._warned = standing.wal_status

    def _done(self, standing: Standing) -> int:
        """The position up to which all was done with; 0 if that is of another server's log."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT after FROM orders_reconciliationpass WHERE name = %s", [_NAME])
            row = cursor.fetchone()
        done = position(row[0]) if row and row[0] else 0
        return done if done <= standing.end else 0

    def _settle(self, batch: Batch, polled: Polled) -> Polled:
        """Check what was changed, and write what is found and how far it has come, in one transaction."""
        keys = 0
        found: list[Violation] = []
        with transaction.atomic():
            new: set[str] = set()
            for walk, touched in self._keys(batch).items():
                of_it, invariants = WALKS[walk]
                listed, size = sorted(touched), checking.size_of(of_it)
                for begin in range(0, len(listed), size):
                    part = listed[begin : begin + size]
                    at = findings.clock()
                    violations = [
                        replace(v, data={**v.data, "transaction": str(touched[v.key])} if v.key in touched else v.data)
                        for v in checking.check(part, invariants)
                    ]
                    new |= findings.record(part, [invariant.name for invariant in invariants], violations, at)
                    found += violations
                keys += len(listed)
            incidents.open_for(new)
            self._keep(batch)
        for v in found:
            logger.error(
                "reconciliation: %s: %s (run %s, transaction %s)",
                v.invariant,
                v.row,
                v.run_id,
                v.data.get("transaction", "-"),
            )
        return Polled(polled.transactions + batch.transactions, polled.keys + keys, (*polled.violations, *found))

    def _keys(self, batch: Batch) -> Mapping[str, Mapping[str, By]]:
        """By walk, the keys that were touched, with who touched them last."""
        keys: dict[str, dict[str, By]] = {}
        for name in sorted(batch.whole):
            walk, _ = WALKS[name]
            # Of pools and the like there are few; rows that grow in number are left to the passes.
            if not walk.grows:
                keys[name] = dict.fromkeys(checking.keys_after(walk, "", checking.size_of(walk)), batch.last)
        for source, values in batch.touched.items():
            of_walk = keys.setdefault(source.walk, {})
            if not source.via:
                of_walk |= values
                continue
            last = max(values.values(), key=lambda by: by.commit)
            of_walk |= dict.fromkeys(checking.texts(source.via, {"values": array(values)}), last)
        return keys

    def _keep(self, batch: Batch) -> None:
        """Write the position, and have the passes check everything of the walks that ask for it."""
        with connection.cursor() as cursor:
            if batch.whole:
                cursor.execute(
                    "UPDATE orders_reconciliationpass SET next_at = LEAST(next_at, clock_timestamp()) "
                    "WHERE name = ANY(%s::text[])",
                    [array(f"whole {walk}" for walk in sorted(batch.whole))],
                )
            cursor.execute(
                "INSERT INTO orders_reconciliationpass AS p (name, after, since, next_at) "
                "VALUES (%s, %s, %s, clock_timestamp() + interval '100 years') "
                "ON CONFLICT (name) DO UPDATE SET after = EXCLUDED.after, since = EXCLUDED.since",
                [_NAME, written(batch.end), batch.at],
            )
