"""What all unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagas import runtime


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Forget the sagas that a test declares: another test may have one of the same name, or look at all there are."""
    with runtime.apart():
        yield
