"""A test kit for people who write sagas: what becomes of a run when this or that goes wrong, without a broker.

Import it in tests only. See docs/how-to/test-your-saga.md.
"""

from sagas.testing.clock import Clock
from sagas.testing.faults import Broken
from sagas.testing.matrix import assert_saga_unwinds, saga_matrix
from sagas.testing.mistakes import assert_no_usual_mistakes, find_mistakes
from sagas.testing.scenario import Scenario, given, given_run, play_together
from sagas.testing.story import table
from sagas.testing.subject import Ended
from sagas.testing.usual import Mistake, Usual

__all__ = [
    "Broken",
    "Clock",
    "Ended",
    "Mistake",
    "Scenario",
    "Usual",
    "assert_no_usual_mistakes",
    "assert_saga_unwinds",
    "find_mistakes",
    "given",
    "given_run",
    "play_together",
    "saga_matrix",
    "table",
]
