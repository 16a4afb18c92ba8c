"""Logical replication slots that are read by SQL: peek at what was committed, and advance when it is done with.

Any session of a role with ``REPLICATION`` can do that, with either driver. What is peeked at comes again until the slot
is advanced, so nothing is lost when the reader dies; after an immediate stop of the server it may come again, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sagas.replication.pgoutput import Decoder, Message, position, written

#: Rows that the client has in memory at a time, whatever the size of a transaction.
_FETCHED: Final = 2000
#: Seconds for which the server may decode before the first row.
_PATIENCE: Final = 600


@dataclass(frozen=True, slots=True)
class Standing:
    """How a slot stands.

    Attributes:
        wal_status: ``reserved``, ``extended``, ``unreserved`` (its log may be gone at the next checkpoint) or ``lost``.
        behind: bytes of the log that it has not been advanced over; of a lost slot it may be all of the log.
        end: the end of the log.
    """

    wal_status: str
    behind: int
    end: int


class Slot:
    """A slot with the plugin ``pgoutput``.

    Args:
        session: a connection of Django's to the slot's database, which nothing else uses.
        name: of the slot.
        publications: what it is read by, with commas between.
    """

    def __init__(self, session: Any, *, name: str, publications: str) -> None:
        self.session, self.name, self.publications = session, name, publications

    def standing(self) -> Standing | None:
        """How it stands; ``None`` if there is no such slot in this database."""
        rows = self._rows(
            "SELECT COALESCE(wal_status, 'lost'), pg_wal_lsn_diff(ends, COALESCE(confirmed_flush_lsn, '0/0'))::bigint, "
            "ends::text FROM pg_replication_slots, LATERAL (SELECT CASE WHEN pg_is_in_recovery() "
            "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) AS log(ends) "
            "WHERE slot_name = %s AND database = current_database()",
            self.name,
        )
        return Standing(rows[0][0], int(rows[0][1]), position(rows[0][2])) if rows else None

    def create(self) -> None:
        """Create it: it has what is committed from now on."""
        self._rows("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", self.name)

    def drop(self) -> None:
        """Drop it, if it is there."""
        self._rows(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", self.name
        )

    def peek(self, *, to: int) -> Iterator[Message]:
        """What was committed up to a position, decoded, from where the slot stands. Advance none while it is read."""
        decoder = Decoder()
        self.session.set_autocommit(False)
        try:
            with self.session.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{_PATIENCE}s'")
            with self.session.chunked_cursor() as cursor:
                cursor.execute(
                    "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, %s::pg_lsn, NULL, 'proto_version', '1', "
                    "'publication_names', %s)",
                    [self.name, written(to), self.publications],
                )
                while rows := cursor.fetchmany(_FETCHED):
                    for (data,) in rows:
                        message = decoder.decode(bytes(data))
                        if message is not None:
                            yield message
        finally:
            if self.session.is_usable():
                self.session.rollback()
                self.session.set_autocommit(True)
            else:
                self.session.close()

    def advance(self, to: int) -> None:
        """What was committed before this position does not come again."""
        self._rows(
            "SELECT pg_replication_slot_advance(slot_name, %s::pg_lsn) FROM pg_replication_slots "
            "WHERE slot_name = %s AND confirmed_flush_lsn < %s::pg_lsn",
            written(to),
            self.name,
            written(to),
        )

    def close(self) -> None:
        """End the session."""
        self.session.close()

    def _rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        with self.session.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())
