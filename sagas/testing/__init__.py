"""A test kit for people who write sagas: what becomes of a run when this or that goes wrong, without a broker.

Import it in tests only. See docs/how-to/test-your-saga.md.
"""

from sagas.testing.clock import Clock
from sagas.testing.faults import Broken
from sagas.testing.matrix import assert_saga_unwinds, saga_matrix
from sagas.testing.scenario import Scenario, given, given_run
from sagas.testing.story import table
from sagas.testing.subject import Ended

__all__ = [
    "Broken",
    "Clock",
    "Ended",
    "Scenario",
    "assert_saga_unwinds",
    "given",
    "given_run",
    "saga_matrix",
    "table",
]
