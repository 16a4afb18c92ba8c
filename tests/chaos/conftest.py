"""Fixtures of the chaos tests: the whole house, while parts of it are killed."""

from pathlib import Path

import pytest

from tests.support.house import _crew, crew, customer, shop, web

__all__ = ["_crew", "crew", "customer", "shop", "web"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Chaos comes last: it kills the servers under everyone, and who shares them needs a while to come back."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)
