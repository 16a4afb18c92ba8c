"""Decode what PostgreSQL's built-in plugin ``pgoutput`` writes of committed transactions. Pure: no connection.

After `Logical Replication Message Formats`_, protocol version 1: whole transactions, in the order of their commits.

.. _Logical Replication Message Formats: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Malformed(ValueError):
    """A message is none that this protocol has; its text says which."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins.

    Attributes:
        xid: its number.
        commit: the position of its commit.
        at: when it was committed, by the server's clock.
    """

    xid: int
    commit: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction ends. ``end`` is the position behind its commit."""

    commit: int
    end: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row was inserted, updated or deleted.

    Attributes:
        kind: ``insert``, ``update`` or ``delete``.
        table: its name, without the schema.
        rows: the published columns of its new image, and of its old one as far as that is in the log: the replica
            identity of a deleted row, and of one whose identity was changed. A large value that was not changed is
            left out.
    """

    kind: str
    table: str
    rows: Sequence[Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables were truncated."""

    tables: Sequence[str]


Message = Begin | Commit | Change | Truncate


@dataclass(frozen=True, slots=True)
class _Relation:
    name: str
    columns: Sequence[str]
    identity: frozenset[str]


class Decoder:
    """Decodes the messages of one connection to a slot, which tell of each table before its first row."""

    def __init__(self) -> None:
        self._relations: dict[int, _Relation] = {}

    def decode(self, data: bytes) -> Message | None:
        """Decode one message; ``None`` for one that tells nothing of rows.

        Raises:
            Malformed: it is cut short, or unknown.
        """
        try:
            return self._decode(_Reader(data))
        except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
            msg = f"a message of pgoutput that cannot be read: {data[:40]!r}"
            raise Malformed(msg) from error

    def _decode(self, reader: _Reader) -> Message | None:
        match kind := reader.char():
            case "B":
                commit, micros, xid = reader.int64(), reader.int64(), reader.uint32()
                return Begin(xid, commit, _EPOCH + timedelta(microseconds=micros))
            case "C":
                reader.char()
                return Commit(reader.int64(), reader.int64())
            case "R":
                self._learn(reader)
            case "I" | "U" | "D":
                return self._change(kind, reader)
            case "T":
                count = reader.uint32()
                reader.char()
                return Truncate([self._relations[reader.uint32()].name for _ in range(count)])
            case "O" | "Y" | "M":
                pass
            case _:
                msg = f"pgoutput has no message {kind!r}"
                raise Malformed(msg)
        return None

    def _learn(self, reader: _Reader) -> None:
        number = reader.uint32()
        reader.text()
        name = reader.text()
        reader.char()
        columns, identity = [], set()
        for _ in range(reader.uint16()):
            is_key = reader.char() == "\x01"
            columns.append(reader.text())
            reader.skip(8)
            if is_key:
                identity.add(columns[-1])
        self._relations[number] = _Relation(name, columns, frozenset(identity))

    def _change(self, kind: str, reader: _Reader) -> Change:
        relation = self._relations[reader.uint32()]
        rows = []
        while not reader.is_empty:
            image = reader.char()
            row = self._row(relation, reader)
            # An old image by the identity has NULL in place of all other columns.
            rows.append({name: row[name] for name in row if image != "K" or name in relation.identity})
        return Change({"I": "insert", "U": "update", "D": "delete"}[kind], relation.name, rows)

    def _row(self, relation: _Relation, reader: _Reader) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        for place in range(reader.uint16()):
            match reader.char():
                case "n":
                    row[relation.columns[place]] = None
                case "u":
                    continue
                case "t":
                    row[relation.columns[place]] = reader.bytes(reader.uint32()).decode()
                case other:
                    msg = f"pgoutput has no value of kind {other!r} in text"
                    raise Malformed(msg)
        return row


class _Reader:
    """Reads numbers in network order, and texts."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IndexError(end)
        found, self._at = self._data[self._at : end], end
        return found

    def skip(self, count: int) -> None:
        self.bytes(count)

    def char(self) -> str:
        return self.bytes(1).decode("latin-1")

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise IndexError(end)
        found = self.bytes(end - self._at).decode()
        self.skip(1)
        return found

    def uint16(self) -> int:
        return int(struct.unpack("!H", self.bytes(2))[0])

    def uint32(self) -> int:
        return int(struct.unpack("!I", self.bytes(4))[0])

    def int64(self) -> int:
        return int(struct.unpack("!q", self.bytes(8))[0])


def position(text: str) -> int:
    """The number of a position in the write-ahead log, as ``0/16B3748``."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def written(number: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"
