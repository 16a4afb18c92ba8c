"""Participants in other systems, over HTTP: ``HttpParticipant``.

The contract that they keep is in ``docs/reference/remote-participants.md``.
"""

from sagas.remote.answers import ClientError, UnexpectedAnswer
from sagas.remote.circuit import Circuit
from sagas.remote.client import HttpParticipant
from sagas.remote.exchange import NoRequest, TooLarge

__all__ = ["Circuit", "ClientError", "HttpParticipant", "NoRequest", "TooLarge", "UnexpectedAnswer"]
