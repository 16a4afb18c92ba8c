"""The simulator can fail: it finds engines with one mistake each, by the promise which that mistake breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

pytestmark = pytest.mark.slow


#: More than twice as many as the rarest has taken.
WITHIN = 600


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if not mutant.trace], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_a_mistake_in_the_engine_is_found(bench: Bench, mutant: Mutant) -> None:
    from tests.simulator.play import play_seed

    # Given
    bench.wipe()
    codes: set[str] = set()
    seed = 0

    # When
    with mutant.apply():
        for seed in range(1, WITHIN + 1):
            played = play_seed(bench, seed, mutant.among)
            codes = {code for code, _ in played.complaints}
            if codes & (mutant.promise or codes):
                break

    # Then: by the promise that it breaks, and not on the honest engine
    assert codes & (mutant.promise or codes), f"not found within {WITHIN} schedules"
    assert not play_seed(bench, seed, mutant.among).failed


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.trace], ids=lambda mutant: mutant.name)
def test_a_rare_mistake_is_found_by_its_schedule(bench: Bench, mutant: Mutant) -> None:
    from tests.simulator.play import replay

    assert not replay(bench, mutant.trace).failed
    with mutant.apply():
        codes = {code for code, _ in replay(bench, mutant.trace).complaints}
    assert codes & mutant.promise


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 20
