"""Logical replication: what PostgreSQL's write-ahead log says was committed, row by row, whoever has written it."""

from sagas.replication.pgoutput import Begin, Change, Commit, Decoder, Malformed, Message, Truncate, position, written
from sagas.replication.slots import Slot, Standing

__all__ = [
    "Begin",
    "Change",
    "Commit",
    "Decoder",
    "Malformed",
    "Message",
    "Slot",
    "Standing",
    "Truncate",
    "position",
    "written",
]
