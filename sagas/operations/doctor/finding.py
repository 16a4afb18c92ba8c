"""What a probe says: one thing that is wrong, or that was looked at and is fine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    #: Runs do not get on, or will not.
    ERROR = "error"
    #: All goes on, with less.
    WARNING = "warning"
    #: For information.
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor has seen.

    Attributes:
        severity: how bad it is.
        what: one sentence.
        runs: how many runs it hits; 0 where that does not apply.
        remedy: what to do; '' where nothing is to be done.
    """

    severity: Severity
    what: str
    runs: int = 0
    remedy: str = ""
