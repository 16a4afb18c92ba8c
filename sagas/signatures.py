"""Signatures of webhooks after the Standard Webhooks specification: several secrets, valid for five minutes. Pure.

Several secrets make a change possible: add the new secret, let the sender change to it, remove the old one.
"""

from __future__ import annotations

import binascii
import hmac
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

#: What every secret begins with; base64 follows.
WEBHOOK_PREFIX = "whsec_"
#: The fewest bytes of a secret, as the specification says.
SECRET_BYTES = 24
#: Seconds for which a signature is valid, and by which the sender's clock may be ahead.
TOLERANCE = 300

_MESSAGE_ID = re.compile(r"[!-~]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,15}", re.ASCII)
#: One entry of the list. If the header came more than once, commas stand in place of spaces.
_ENTRY = re.compile(r"(?:^|[ ,])v1,([A-Za-z0-9+/]+={0,2})(?=$|[ ,])")


class BadSecret(ValueError):
    """A text is no secret of webhooks. The message says why, and never quotes the text."""


class BadSignature(Exception):
    """The signature is missing, wrong, or too old. The message tells a forger nothing new."""


def parse_secrets(given: object) -> tuple[bytes, ...]:
    """Read the keys of one secret, or of several: a list, or a text with spaces or commas between them.

    Raises:
        BadSecret: there is no secret, or one is not ``whsec_`` with at least 24 bytes in base64 after it.
    """
    texts = re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not texts:
        raise BadSecret("it is no text and no list of texts" if not isinstance(texts, list | tuple) else "it is empty")
    return tuple(_parse(text, number) for number, text in enumerate(texts, 1))


def _parse(text: object, number: int) -> bytes:
    which = f"secret {number}"
    if not isinstance(text, str) or not text.startswith(WEBHOOK_PREFIX):
        msg = f"{which} does not begin with {WEBHOOK_PREFIX}"
        raise BadSecret(msg)
    encoded = text.removeprefix(WEBHOOK_PREFIX).rstrip("=")
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        msg = f"{which} is not base64 behind {WEBHOOK_PREFIX}"
        raise BadSecret(msg) from None
    if len(key) < SECRET_BYTES:
        msg = f"{which} has {len(key)} bytes, and needs at least {SECRET_BYTES}"
        raise BadSecret(msg)
    return key


def verify_signature(
    body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float | None = None
) -> str:
    """Check that one of the keys has signed this body in the last five minutes.

    Args:
        body: the raw body.
        headers: the request's headers; the case of their names does not matter.
        keys: from ``parse_secrets``.
        now: Unix time in seconds; by default from this process's clock.

    Returns:
        The message's id.

    Raises:
        BadSignature: no key has signed it, or not lately.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    entries = _ENTRY.findall(found.get("webhook-signature", ""))
    if not _MESSAGE_ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(stamp) or not entries:
        raise BadSignature("The signature's headers are missing or malformed")
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        raise BadSignature("The signature is of another time")
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    right = [b64encode(hmac.digest(key, signed, sha256)).decode().rstrip("=") for key in keys]
    # All are compared, so that the time it takes does not tell which secret it was.
    fits = [hmac.compare_digest(entry.rstrip("="), one) for entry in entries for one in right]
    if not any(fits):
        raise BadSignature("No signature fits")
    return message_id
