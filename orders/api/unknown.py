"""What a request says that nobody knows: refused, because a misspelt name would be a wish that is silently not granted.

Fields of bodies and query parameters. Payment webhooks alone may say more than is read: gateways add fields as they
like.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

FIELD = "unknown-field"
#: How many are named in one object; and how much of a name is told, or compared with the known ones.
_NAMED = 20
_LONGEST = 40


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses what it has no field for."""

    def to_internal_value(self, data: Any) -> Any:
        """Say of unknown fields and of wrong values at once."""
        unknown: dict[str, Any] = {}
        if isinstance(data, Mapping):
            names = islice((name for name in data if name not in self.fields), _NAMED)
            unknown = {name: [ErrorDetail(complaint("field", name, self.fields), FIELD)] for name in names}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unknown}) from None
            raise
        if unknown:
            raise serializers.ValidationError(unknown)
        return value


class NothingSerializer(StrictSerializer):
    """A body that says nothing: none at all, or an empty object."""


def complaint(what: str, name: str, known: Collection[str]) -> str:
    """Say that there is no ``what`` (``"field"``) of this name, and which one may be meant."""
    shown = json.dumps(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…")
    meant = get_close_matches(name.casefold(), known, n=1) if len(name) <= _LONGEST else []
    return f"There is no {what} {shown}." + "".join(f' Is "{name}" meant?' for name in meant)
