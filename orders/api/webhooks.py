"""The gateway's signed webhooks, by the Standard Webhooks specification."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request

from orders.api import throttles
from orders.api.problems import Problem
from sagas.signatures import BadSignature, parse_secrets, verify


def verified(request: Request) -> str:
    """Check the signature over the raw body, and that it was made in the last 5 minutes; return the message's id.

    Raises:
        Problem: 401, without saying more to a forger than he knows.
    """
    try:
        return verify(request.body, request.headers, parse_secrets(settings.WEBHOOK_SECRET))
    except BadSignature as error:
        throttles.hold_back("forgeries", throttles.address(request))
        raise Problem(
            401, "invalid-signature", f"{error}.", headers={"WWW-Authenticate": "Standard-Webhooks"}
        ) from None
