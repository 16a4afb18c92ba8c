"""The example of an order on the docs page: made of the present stock, so that it can be tried out unchanged."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error
from django.urls import reverse

import delivery.selectors
import inventory.selectors

#: The query parameter with which the docs page asks for the example.
WANTED = "example"

logger = logging.getLogger(__name__)


def offer_what_is_there(result: dict[str, Any], *, request: Any, **_: Any) -> dict[str, Any]:
    """Put an acceptable order into the schema of the docs page; a hook of drf-spectacular.

    The schema for programs has no such example, and needs no database.
    """
    if request is None or WANTED not in request.GET:
        return result
    try:
        sku = inventory.selectors.menu().filter(available__gte=2).first()
        slot = delivery.selectors.upcoming().filter(available__gte=1).first()
    except Error as error:
        logger.warning("the schema goes out without an example: %s", error)
        return result
    if sku is not None and slot is not None:
        body = result["paths"][reverse("api:orders")]["post"]["requestBody"]["content"]["application/json"]
        # An object has one or the other.
        body.pop("examples", None)
        body["example"] = {"items": [{"sku": sku.code, "quantity": 2}], "slot": slot.pk}
    return result
