"""A test kit for people who write sagas: tests play runs, with faults, on the real engine and without a broker.

Import it in tests only. See docs/how-to/test-your-saga.md.
"""

from sagas.testing.clock import Clock
from sagas.testing.matrix.matrix import assert_saga_unwinds, saga_matrix
from sagas.testing.matrix.subject import Ended
from sagas.testing.mistakes.catalogue import Mistake, MistakeKind
from sagas.testing.mistakes.mistakes import assert_no_usual_mistakes, find_mistakes
from sagas.testing.scenario.faults import Broken
from sagas.testing.scenario.scenario import Scenario, given, given_run, play_together
from sagas.testing.scenario.timeline import table

__all__ = [
    "Broken",
    "Clock",
    "Ended",
    "Mistake",
    "MistakeKind",
    "Scenario",
    "assert_no_usual_mistakes",
    "assert_saga_unwinds",
    "find_mistakes",
    "given",
    "given_run",
    "play_together",
    "saga_matrix",
    "table",
]
