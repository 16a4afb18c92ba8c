"""Hides what is secret in URLs, wherever a URL may be shown: in logs, errors, tables of settings, on a console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What stands for a secret.
MASK = "***"

#: From a user's colon to the last @ before a blank or the next URL: a password that somebody did not escape may have
#: a slash or an @ in it.
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
    """Do as ``redact`` does for every text in a value, however deep; the value itself is left as it is."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: redact_all(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_all(inner) for inner in value]
    return value
