"""What PostgreSQL writes of committed transactions is decoded; what it never writes is refused."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from sagas.replication.pgoutput import Begin, Change, Commit, Decoder, Malformed, Truncate, position, written


def relation(number: int, name: str, columns: dict[str, bool]) -> bytes:
    listed = b"".join(
        bytes([is_key]) + text(column) + b"\0\0\0\x19\xff\xff\xff\xff" for column, is_key in columns.items()
    )
    return (
        b"R" + struct.pack("!I", number) + text("public") + text(name) + b"d" + struct.pack("!H", len(columns)) + listed
    )


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def row(*values: bytes | None) -> bytes:
    """NULL for ``None``; ``b"unchanged"`` for a large value that was not changed."""
    written_out = b""
    for value in values:
        if value is None:
            written_out += b"n"
        elif value == b"unchanged":
            written_out += b"u"
        else:
            written_out += b"t" + struct.pack("!I", len(value)) + value
    return struct.pack("!H", len(values)) + written_out


TABLE = relation(7, "orders_order", {"id": False, "run_id": True, "note": False})


@pytest.fixture
def decoder() -> Decoder:
    made = Decoder()
    assert made.decode(TABLE) is None
    return made


def test_a_transaction_has_its_number_its_place_and_its_time(decoder: Decoder) -> None:
    begin = decoder.decode(b"B" + struct.pack("!qqI", 0x16B3748, 1_000_000, 4_000_000_000))
    assert begin == Begin(4_000_000_000, 0x16B3748, datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))
    assert decoder.decode(b"C\0" + struct.pack("!qqq", 10, 20, 0)) == Commit(10, 20)


@pytest.mark.parametrize(
    ("message", "kind", "rows"),
    [
        (b"I\0\0\0\x07N" + row(b"1", b"a", None), "insert", [{"id": "1", "run_id": "a", "note": None}]),
        (b"U\0\0\0\x07N" + row(b"1", b"a", b"unchanged"), "update", [{"id": "1", "run_id": "a"}]),
        (
            b"U\0\0\0\x07K" + row(None, b"a", None) + b"N" + row(b"1", b"b", "茶".encode()),
            "update",
            [{"run_id": "a"}, {"id": "1", "run_id": "b", "note": "茶"}],
        ),
        (b"U\0\0\0\x07O" + row(b"1", b"a", None) + b"N" + row(b"1", b"a", b""), "update",
         [{"id": "1", "run_id": "a", "note": None}, {"id": "1", "run_id": "a", "note": ""}]),
        (b"D\0\0\0\x07K" + row(None, b"a", None), "delete", [{"run_id": "a"}]),
    ],
    ids=["inserted", "a large value is left out", "another identity", "a full image", "deleted"],
)  # fmt: skip
def test_a_row_has_what_is_known_of_its_images(
    decoder: Decoder, message: bytes, kind: str, rows: list[dict[str, str | None]]
) -> None:
    assert decoder.decode(message) == Change(kind, "orders_order", rows)


def test_truncated_tables_are_named(decoder: Decoder) -> None:
    decoder.decode(relation(8, "sagas_log", {"id": False}))
    assert decoder.decode(b"T\0\0\0\x02\0\0\0\0\x07\0\0\0\x08") == Truncate(["orders_order", "sagas_log"])


@pytest.mark.parametrize("message", [b"O" + bytes(8) + b"here\0", b"Y" + bytes(4) + b"a\0b\0", b"M" + bytes(20)])
def test_what_tells_nothing_of_rows_is_nothing(decoder: Decoder, message: bytes) -> None:
    assert decoder.decode(message) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"?",
        b"B123",
        b"I\0\0\0\x09N" + row(b"1"),
        b"I\0\0\0\x07N\0\x03t\0\0\0\xffa",
        b"I\0\0\0\x07N\0\x01b\0\0\0\x01a",
        b"R\0\0\0\x01public",
        b"I\0\0\0\x07N" + row(b"1", b"2", b"3", b"4"),
        b"I\0\0\0\x07N" + row(b"\xff"),
    ],
)
def test_what_cannot_be_read_is_refused(decoder: Decoder, message: bytes) -> None:
    with pytest.raises(Malformed):
        decoder.decode(message)


def test_a_position_is_written_as_postgresql_writes_it() -> None:
    assert written(position("1A/16B3748")) == "1A/16B3748"
    assert position("0/0") < position("0/FFFFFFFF") < position("1/0")
