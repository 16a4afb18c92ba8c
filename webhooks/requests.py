"""What a delivery is asked for: ids alone, for the log of a run shows its request, and no secret stands there."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is to be told to an endpoint."""

    event: int
    endpoint: UUID
