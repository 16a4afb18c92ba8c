"""Which pair of windows burns: both of its windows, and enough bad runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas.decisions.burn_rates import PAIRS, WINDOWS, Runs, burns, fastest
from sagas.definition.objectives import Objective
from sagas.errors import DefinitionError

HOUR = timedelta(hours=1)
LEVEL = Objective("settled", target=0.99, within=timedelta(seconds=5), floor=5)


def seen(share: float, runs: int = 10_000) -> Runs:
    """So many runs, of which a share is bad."""
    bad = round(runs * share)
    return Runs(runs - bad, bad)


def everywhere(share: float) -> dict[timedelta, Runs]:
    return dict.fromkeys(WINDOWS, seen(share))


@pytest.mark.parametrize(
    ("share", "place"), [(0.145, 0), (0.143, 1), (0.061, 1), (0.059, 2), (0.011, 2), (0.009, None), (0.0, None)]
)
def test_the_fastest_pair_whose_factor_is_reached_burns(share: float, place: int | None) -> None:
    burn = fastest(burns(LEVEL, everywhere(share)))
    assert (burn.place if burn else None) == place


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("calm", ["long", "short"])
def test_a_pair_does_not_burn_if_one_of_its_windows_does_not(pair: object, calm: str) -> None:
    windows = {**everywhere(0.5), getattr(pair, calm): seen(0.0)}
    found = burns(LEVEL, windows)
    assert not next(burn for burn in found if burn.pair is pair).is_burning


def test_fewer_bad_runs_than_the_floor_burn_nothing_however_few_runs_there_are() -> None:
    four = dict.fromkeys(WINDOWS, Runs(good=0, bad=4))
    five = dict.fromkeys(WINDOWS, Runs(good=0, bad=5))
    assert fastest(burns(LEVEL, four)) is None
    burn = fastest(burns(LEVEL, five))
    assert burn is not None
    assert burn.place == 0
    assert burn.long == pytest.approx(100)


def test_without_runs_nothing_burns() -> None:
    assert [burn.long for burn in burns(LEVEL, {})] == [0.0, 0.0, 0.0]
    assert fastest(burns(LEVEL, {})) is None


@pytest.mark.parametrize("floor", [0, -1, True, 2.5, None])
def test_a_floor_that_is_no_number_of_runs_is_refused(floor: object) -> None:
    with pytest.raises(DefinitionError, match="floor"):
        Objective("settled", target=0.9, within=HOUR, floor=floor)  # type: ignore[arg-type]
