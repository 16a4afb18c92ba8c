"""Does a participant keep the contract? Asks a running one as the network and the engine would, and judges the answers.

For whoever writes a participant, in any language: ``python -m sagas.remote.conformance --help``. Needs neither a
database nor Django's settings. The rules are in ``docs/reference/remote-participants.md``.
"""

from sagas.remote.conformance.examine import CheckOutcome, Verdict, examine
from sagas.remote.conformance.subject import Branch, Pair, Route, Subject

__all__ = ["Branch", "CheckOutcome", "Pair", "Route", "Subject", "Verdict", "examine"]
