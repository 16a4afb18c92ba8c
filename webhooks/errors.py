"""What can be wrong with a registration."""

from __future__ import annotations


class EndpointRefused(Exception):
    """The address cannot be registered; the text says why."""


class TooManyEndpoints(EndpointRefused):
    """The customer has as many as a customer may have."""


class EndpointNotFound(Exception):
    """There is no such endpoint, or it is another customer's."""
