"""The simulator can fail: it finds engines with one mistake each, by the promise which that mistake breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator.known import FOUND

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", FOUND)
def test_a_mistake_in_the_engine_is_found(bench: Bench, name: str) -> None:
    from tests.simulator.mutants import named
    from tests.simulator.play import play_seed

    # Given
    bench.wipe()
    mutant = named(name)
    codes: set[str] = set()

    # When
    with mutant.apply():
        for seed in range(1, FOUND[name] + 1):
            played = play_seed(bench, seed, mutant.among)
            codes = {code for code, _ in played.complaints}
            if codes & (mutant.promise or codes):
                break

    # Then: by the promise that it breaks, and not on the honest engine
    assert codes & (mutant.promise or codes), f"{name} was not found within {FOUND[name]} schedules"
    assert not play_seed(bench, seed, mutant.among).failed
