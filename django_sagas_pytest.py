"""The pytest plugin of django-sagas: pytest finds it by its entry point, in every project of the environment.

So it lies outside ``sagas``, which needs a Django that is set up, and imports nothing of it before a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sagas.testing.clock import Clock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses ``saga_carrier`` once under each carrier."""
    if "saga_carrier" in metafunc.fixturenames:
        _insist_on_the_engine()
        from sagas.states import CARRIERS  # noqa: PLC0415 - see above

        metafunc.parametrize("saga_carrier", CARRIERS)


@pytest.fixture
def saga_clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    """A ``Clock``: time passes only when the test says so."""
    _insist_on_the_engine()
    from sagas.testing.clock import Clock  # noqa: PLC0415 - see above

    request.getfixturevalue("db")
    with Clock() as clock:
        yield clock


def _insist_on_the_engine() -> None:
    """Fail with one line if ``import sagas`` finds a package of the project, and not the engine beside this module."""
    found = find_spec("sagas")
    here = Path(__file__).parent
    if found is None or found.origin is None or Path(found.origin).parent.parent.resolve() != here.resolve():
        what = found.origin if found is not None else "nothing"
        msg = (
            f"`import sagas` finds {what}, and not {here / 'sagas'}: another package has the name of the engine. "
            "Rename it, or take its folder off the path."
        )
        pytest.fail(msg, pytrace=False)
