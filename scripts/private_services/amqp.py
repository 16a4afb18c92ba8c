"""The handshake of AMQP 0-9-1, which shows whether a broker accepts a user.

`rabbitmqctl` shows the same and takes a second or two, because it starts an Erlang machine.
"""

from __future__ import annotations

import socket
import struct
from io import BufferedRWPair
from typing import Final

_START, _START_OK = (10, 10), (10, 11)
_TUNE, _TUNE_OK = (10, 30), (10, 31)
_OPEN, _OPEN_OK = (10, 40), (10, 41)
_CLOSE, _CLOSE_OK = (10, 50), (10, 51)

_METHOD_FRAME: Final = 1
_FRAME_END: Final = b"\xce"
_TUNING: Final = struct.Struct(">HIH")  # channels, largest frame, heartbeat


def lets_in(host: str, port: int, user: str, password: str) -> bool:
    """Whether a broker opens a connection to its default virtual host."""
    try:
        with (
            socket.create_connection((host, port), timeout=5) as connection,
            connection.makefile("rwb") as stream,
        ):
            stream.write(b"AMQP\x00\x00\x09\x01")
            _expect(stream, _START)
            _send(
                stream,
                _START_OK,
                _table() + _short("PLAIN") + _long(f"\0{user}\0{password}") + _short("en_US"),
            )
            tuning = _expect(stream, _TUNE)
            _send(stream, _TUNE_OK, _TUNING.pack(*_TUNING.unpack_from(tuning)))
            _send(stream, _OPEN, _short("/") + _short("") + b"\0")
            _expect(stream, _OPEN_OK)
            # Only for the broker's log, which warns of clients that disconnect without this.
            _send(stream, _CLOSE, struct.pack(">H", 200) + _short("") + struct.pack(">HH", 0, 0))
            _expect(stream, _CLOSE_OK)
    except (OSError, ValueError, struct.error):
        return False
    return True


def _send(stream: BufferedRWPair, method: tuple[int, int], arguments: bytes) -> None:
    payload = struct.pack(">HH", *method) + arguments
    stream.write(struct.pack(">BHI", _METHOD_FRAME, 0, len(payload)) + payload + _FRAME_END)


def _expect(stream: BufferedRWPair, method: tuple[int, int]) -> bytes:
    stream.flush()  # here, so that one send is one packet
    _, _, size = struct.unpack(">BHI", stream.read(7))
    payload = stream.read(size)
    stream.read(len(_FRAME_END))
    if struct.unpack_from(">HH", payload) != method:
        raise ValueError("the broker said something else")
    return payload[4:]


def _short(text: str) -> bytes:
    return struct.pack(">B", len(text)) + text.encode()


def _long(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


def _table() -> bytes:
    return struct.pack(">I", 0)
