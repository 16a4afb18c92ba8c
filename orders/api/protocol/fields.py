"""Fields of requests and answers. Input is strict: a string that looks like a number is not a number."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


class Integer(serializers.IntegerField):
    """An integer; a text that looks like one is refused."""

    def to_internal_value(self, data: Any) -> int:
        """Refuse texts and booleans."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class RegexField(serializers.RegexField):
    """A text of a pattern; a number is refused."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A text; a number is refused."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Amount(serializers.IntegerField):
    """An amount of money that is answered, an integer in minor units of the ``currency`` beside it."""

    def __init__(self, **options: Any) -> None:
        about = options.pop("help_text", "")
        text = f"{about} In minor units: 2500 is 25.00 yuan.".lstrip()
        super().__init__(min_value=0, read_only=True, help_text=text, **options)


@extend_schema_field({"type": "string", "pattern": "^[A-Z]{3}$", "example": "CNY"})
class Currency(serializers.Field[Any, Any, str, Any]):
    """The currency of the amounts beside it, by ISO 4217: the shop has one."""

    def __init__(self) -> None:
        super().__init__(source="*", read_only=True)

    def to_representation(self, _value: Any) -> str:
        """Read the setting."""
        code: str = settings.CURRENCY
        return code
