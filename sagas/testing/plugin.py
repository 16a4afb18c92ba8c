"""A plugin for pytest: ``pytest_plugins = ["sagas.testing.plugin"]`` in the outermost ``conftest.py``.

Do not use ``-p``: pytest imports such plugins before Django is set up, which this package needs. The plugin imports the
rest of the engine only when a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sagas.testing.clock import Clock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses ``saga_carrier`` once under each carrier."""
    if "saga_carrier" in metafunc.fixturenames:
        from sagas.states import CARRIERS  # noqa: PLC0415 - see above

        metafunc.parametrize("saga_carrier", CARRIERS)


@pytest.fixture
def saga_clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    """A ``Clock``: time passes only when the test says so."""
    from sagas.testing.clock import Clock  # noqa: PLC0415 - see above

    request.getfixturevalue("db")
    with Clock() as clock:
        yield clock
