"""Fixtures of the races."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import _forgotten, alone, jar, purse
from tests.races.racing import Race

__all__ = ["_forgotten", "alone", "jar", "purse"]


@pytest.fixture
def race(alone: None) -> Iterator[Race]:
    """A race; whatever becomes of it, nobody is left in the middle of a transaction."""
    found = Race()
    yield found
    found.end()
