"""Fixtures of the chaos tests: the whole house, while parts of it are killed."""

from pathlib import Path

import pytest

from tests.support.platform_fixtures import _worker_group, customer, shop, web, worker_group

__all__ = ["_worker_group", "customer", "shop", "web", "worker_group"]


#: The files that take longest begin first. No process is left alone with one at the end, while the others have nothing.
_LONGEST = ("test_workers", "test_servers", "test_poison", "test_doubles", "test_outage")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Chaos comes last: it kills the servers under everyone, and who shares them needs a while to come back."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        if here not in item.path.parents:
            return -1
        name = item.path.stem
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)

    items.sort(key=place)
