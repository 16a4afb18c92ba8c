"""Participants in other systems: over HTTP ``HttpParticipant``, by coroutines of your own ``AsyncParticipant``.

The contract that they keep is in ``docs/reference/remote-participants.md``.
"""

from sagas.definition.participants import NotYet
from sagas.remote.answers import ClientError, UnexpectedAnswer
from sagas.remote.circuit import Circuit
from sagas.remote.client import HttpOperation, HttpParticipant, trace_headers
from sagas.remote.coroutines import AsyncParticipant
from sagas.remote.exchange import NoRequest, TooLarge

__all__ = [
    "AsyncParticipant",
    "Circuit",
    "ClientError",
    "HttpOperation",
    "HttpParticipant",
    "NoRequest",
    "NotYet",
    "TooLarge",
    "UnexpectedAnswer",
    "trace_headers",
]
