"""Signed webhooks, by the Standard Webhooks specification."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from rest_framework.request import Request
from standardwebhooks import Webhook, WebhookVerificationError

from orders.api import throttles
from orders.api.problems import Problem


@cache
def _webhook(secret: str) -> Webhook:
    return Webhook(secret)


def verify(request: Request) -> None:
    """Check the signature over the raw body, and that it was made in the last 5 minutes.

    Raises:
        Problem: 401, without saying more to a forger than he knows.
    """
    try:
        _webhook(settings.WEBHOOK_SECRET).verify(request.body, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        throttles.hold_back("forgeries", throttles.address(request))
        # ValueError: what the library does not expect in the headers, such as a signature that is no base64.
        detail = str(error) if isinstance(error, WebhookVerificationError) else "Invalid signature headers"
        raise Problem(
            401, "invalid-signature", f"{detail}.", headers={"WWW-Authenticate": "Standard-Webhooks"}
        ) from None
