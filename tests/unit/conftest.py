"""What all unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas.definition import registry


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Forget the sagas that a test declares: another test may have one of the same name, or look at all there are."""
    known, broken = dict(registry._definitions), dict(registry.broken)
    yield
    registry._definitions.clear()
    registry._definitions.update(known)
    registry.broken.clear()
    registry.broken.update(broken)
