"""The address of a customer: checked, and personal wherever it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from sagas import Personal

#: One line of text: no blanks around it, no control characters.
Line = StringConstraints(min_length=1, max_length=200, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$")


@dataclass(frozen=True, slots=True)
class Address:
    """Whither a courier brings an order, and to whom.

    Attributes:
        recipient: who takes it.
        phone: digits, blanks and hyphens, perhaps a plus before them.
        street: with the number of the house.
        city: with its postcode, where there is one.
        note: how to find the door.
    """

    recipient: Annotated[str, Line, Personal]
    phone: Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 -]{4,28}[0-9]$"), Personal]
    street: Annotated[str, Line, Personal]
    city: Annotated[str, Line, Personal]
    note: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"), Personal] = ""
