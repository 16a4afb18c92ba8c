"""Fixtures of the coupons: their runs are stepped by hand, without workers."""

from tests.integration.conftest import _forgotten, alone

__all__ = ["_forgotten", "alone"]
