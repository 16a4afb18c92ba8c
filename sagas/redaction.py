"""Hides the secrets in URLs wherever a URL is shown: in logs, errors, tables of settings, on a console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What stands for a secret.
MASK = "***"

#: From the colon after the user to the last @ before a blank or the next URL: a password that was not escaped may
#: contain a slash or an @.
_PASSWORD = re.compile(r"(?P<before>(?<![a-z0-9+.-])[a-z0-9+.-]+://[^\s:/@]*:)(?:(?!://)\S)*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<before>[?&;][\w-]{0,100}(?:pass|secret|token|key|sig)[\w-]{0,100}=)[^&;\s'\"]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Hide the passwords of all URLs in a text.

    >>> redact("amqp://shop:s3cret@rabbit:5672//")
    'amqp://shop:***@rabbit:5672//'
    """
    return _PARAMETER.sub(rf"\g<before>{MASK}", _PASSWORD.sub(rf"\g<before>{MASK}@", text))


def redact_all(value: Any) -> Any:
    """Return a copy of a value in which every text is redacted, at any depth."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: redact_all(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_all(inner) for inner in value]
    return value
