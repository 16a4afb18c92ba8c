"""The gateway's signed webhooks, by the Standard Webhooks specification."""

from __future__ import annotations

import logging

from django.utils.translation import gettext as _
from rest_framework.request import Request

from orders import metrics
from orders.api.protocol import throttles
from orders.api.protocol.problem_types import told
from orders.api.protocol.problems import Problem
from payments.gateways import Gateway
from sagas.signatures import BadSecret, BadSignature, parse_secrets, verify_signature

logger = logging.getLogger(__name__)


def verified(request: Request, gateway: Gateway) -> str:
    """Check the signature of the raw body, and that it is at most 5 minutes old; return the message's id.

    Args:
        request: the request.
        gateway: whose secrets it must be signed by, one of them.

    Raises:
        Problem: 503, there is no usable secret; 401, without details that would help a forger.
    """
    try:
        keys = parse_secrets(gateway.secret)
    except BadSecret:
        # No process starts without a secret, unless the check is silenced. The gateway repeats its message.
        logger.exception("gateway %s has no usable secret", gateway.name)
        detail = _("Payments cannot be taken at the moment.")
        raise Problem(503, "payments-unavailable", detail, headers={"Retry-After": "60"}) from None
    try:
        return verify_signature(request.body, request.headers, keys)
    except BadSignature as error:
        metrics.WEBHOOKS_REFUSED.add_now()
        throttles.hold_back("forgeries", throttles.address(request))
        raise Problem(
            401,
            "invalid-signature",
            told("invalid-signature", f"{error}."),
            headers={"WWW-Authenticate": "Standard-Webhooks"},
        ) from None
