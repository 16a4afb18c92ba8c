"""System checks of the shop's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sagas.signatures import BadSecret, parse_secrets


@register("orders")
def check_webhook_secret(**_: Any) -> list[CheckMessage]:
    """Check the secret by which payments are verified."""
    found: list[CheckMessage] = []
    secrets = {"DRINKGROUP_WEBHOOK_SECRET": settings.WEBHOOK_SECRET}
    secrets |= {f"GATEWAY_{name.upper()}_SECRET": told["secret"] for name, told in settings.MORE_GATEWAYS.items()}
    for name, secret in secrets.items():
        try:
            parse_secrets(secret)
        except BadSecret as error:
            found.append(
                Error(
                    f"The secret of the payments' webhooks is none: {error}.",
                    hint=f"Set {name} to whsec_ and 24 to 64 bytes in base64; or to several of them, "
                    "with a space between, while it is changed.",
                    id="orders.E001",
                )
            )
    return found
