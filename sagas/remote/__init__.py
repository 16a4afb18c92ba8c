"""Participants in other systems, over HTTP: ``HttpParticipant``.

The contract that they keep is in ``docs/reference/remote-participants.md``.
"""

from sagas.remote.client import HttpParticipant

__all__ = ["HttpParticipant"]
