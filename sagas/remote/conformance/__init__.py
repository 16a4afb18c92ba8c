"""Checks whether a running participant keeps the contract: asks it as the network and the engine would.

For people who write a participant, in any language: ``python -m sagas.remote.conformance --help``. It needs neither a
database nor Django's settings. The rules are in ``docs/reference/remote-participants.md``.
"""

from sagas.remote.conformance.examine import CheckOutcome, CheckResult, examine
from sagas.remote.conformance.subject import Branch, Pair, Route, Subject

__all__ = ["Branch", "CheckOutcome", "CheckResult", "Pair", "Route", "Subject", "examine"]
