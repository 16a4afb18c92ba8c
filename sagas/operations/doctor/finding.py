"""What a probe reports: one thing that is wrong, or one thing that was checked and is fine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    #: Runs do not make progress, or will not.
    ERROR = "error"
    #: Runs make progress, but something is degraded or unsafe.
    WARNING = "warning"
    #: Nothing to do.
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a probe.

    Attributes:
        severity: how serious it is.
        what: the result, in one sentence.
        runs: number of affected runs; 0 where that does not apply.
        remedy: what to do; '' where nothing is to be done.
    """

    severity: Severity
    what: str
    runs: int = 0
    remedy: str = ""
