"""Order numbers that people can read aloud: the day, and eight unambiguous letters."""

from __future__ import annotations

import secrets

from django.utils import timezone

#: Crockford's base 32: no I, L, O or U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATTERN = rf"ORD-\d{{8}}-[{ALPHABET}]{{8}}"


def draw() -> str:
    """Draw a number, such as ``ORD-20261123-7K3M9QX2``.

    40 random bits a day: at 100,000 orders a day two numbers collide once in half a year. The caller that stores a
    number must be prepared to draw again.
    """
    bits = secrets.randbits(40)
    letters = "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 40, 5))
    # Not by strftime, which takes longer than all the rest.
    today = timezone.localdate()
    return f"ORD-{today.year * 10000 + today.month * 100 + today.day}-{letters}"
