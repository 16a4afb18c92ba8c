"""A plugin for pytest: ``pytest_plugins = ["sagas.testing.plugin"]`` in the outermost ``conftest.py``.

There, and not with ``-p``: what is named on the command line is imported before Django is set up, and this package
needs it. Nothing more of the engine is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sagas.testing.clock import Clock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play a test that asks for ``saga_carrier`` under each carrier."""
    if "saga_carrier" in metafunc.fixturenames:
        from sagas.states import CARRIERS  # noqa: PLC0415 - see above

        metafunc.parametrize("saga_carrier", CARRIERS)


@pytest.fixture
def saga_clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    """A clock of the test's own, which stands still until the test lets time pass."""
    from sagas.testing.clock import Clock  # noqa: PLC0415 - see above

    request.getfixturevalue("db")
    with Clock() as clock:
        yield clock
