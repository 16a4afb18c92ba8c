"""A test kit for people who write sagas: what becomes of a run when this or that goes wrong, without a broker.

Import it in tests only. See docs/how-to/test-your-saga.md.
"""

from sagas.testing.clock import Clock
from sagas.testing.scenario import Broken, Scenario, given, given_run
from sagas.testing.story import table

__all__ = ["Broken", "Clock", "Scenario", "given", "given_run", "table"]
