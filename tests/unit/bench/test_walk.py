"""The walk that counts the modules a call passes through."""

from __future__ import annotations

from typing import Any

from bench.walk import Walk


def module(name: str, text: str, **known: object) -> dict[str, Any]:
    """A module of this name and text, as its names."""
    names: dict[str, Any] = {**known, "__name__": name}
    exec(compile(text, f"{name}.py", "exec"), names)  # noqa: S102 - the text is the test's
    return names


def test_a_walk_counts_the_modules_whose_functions_are_called() -> None:
    # Given
    ground = module("sagas.ground", "def read(): pass\ndef write(): read()")
    outside = module("elsewhere", "def through(work): work()")
    upper = module(
        "sagas.upper",
        "def work(): read(); through(write); check(); read()\ndef check(): pass",
        **{name: found for one in (ground, outside) for name, found in one.items() if not name.startswith("__")},
    )
    walk, inside = Walk(), Walk(within="write")

    # When
    for one in (walk, inside):
        with one.watching():
            upper["work"]()

    # Then
    assert walk.stays == ["upper", "ground", "upper", "ground"]
    assert (walk.modules, walk.returns, walk.crossings) == (2, 2, 6)
    assert inside.stays == ["ground"]
    assert Walk.joined([walk, inside]).stays == ["upper", "ground", "upper", "ground", "ground"]
