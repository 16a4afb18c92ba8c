"""The replay is on the real servers, alone."""

from tests.integration.conftest import _forgotten, alone

__all__ = ["_forgotten", "alone"]
