"""Unknown fields of bodies and unknown query parameters are refused, because a misspelt name would be ignored silently.

Only payment webhooks may have unknown fields: gateways add fields of their own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

FIELD = "unknown-field"
#: How many unknown names of one object are reported; and how many characters of a name.
_NAMED = 20
_LONGEST = 40


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields."""

    def to_internal_value(self, data: Any) -> Any:
        """Report unknown fields and wrong values together."""
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
    """An empty body, or an empty object."""


def complaint(what: str, name: str, known: Collection[str]) -> str:
    """Say that no ``what`` (``"field"``) has this name, and which name may be meant."""
    shown = json.dumps(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…")
    meant = get_close_matches(name.casefold(), known, n=1) if len(name) <= _LONGEST else []
    none = _("There is no field %(name)s.") if what == "field" else _("There is no query parameter %(name)s.")
    return none % {"name": shown} + "".join(_(' Is "%(name)s" meant?') % {"name": name} for name in meant)
