"""What the demo says in the end."""

from __future__ import annotations

from typing import Any, cast

import pytest
from rich.console import Console

from demo import episodes
from demo.client import Api, Unexpected
from demo.episodes import Episode, Line, Telling
from demo.screen import summarise
from demo.story import Story


class _Shelf:
    """What a story reads before it begins."""

    def menu(self) -> list[dict[str, Any]]:
        return [{"sku": code, "available": 9} for code in ("TEA", "MILK", "PLUM")]

    def slots(self) -> list[dict[str, Any]]:
        return [{"id": 1, "starts_at": "2026-11-30T10:00:00+08:00", "available": 9}]


def _told(story: Story, *more: Episode) -> str:
    console = Console(record=True, width=200)
    summarise(story, list(more), console)
    return console.export_text()


def _telling(*lines: Line | None, fault: str = "") -> Telling:
    yield from lines
    if fault:
        raise Unexpected(fault)


@pytest.fixture
def story() -> Story:
    """All three have ended as they should, and the counts fit."""
    story = Story(cast(Api, _Shelf()))
    for tale in story.tales:
        kind, code = tale.why or ("", "")
        reason = {"kind": kind, "code": code, "detail": "so it is"} if tale.why else None
        tale.order = {"state": tale.end, "reason": reason}
    for count in story.counts:
        count.see(count.before - count.taken)
    return story


def test_the_demo_reports_success(story: Story) -> None:
    assert _told(story).endswith("All of them ended as they should.\n")


def test_the_demo_asks_for_other_orders_if_only_the_counts_differ(story: Story) -> None:
    story.slot.see(story.slot.now - 1)
    assert not story.is_right
    assert "did somebody else order meanwhile?" in _told(story)


def test_the_demo_does_not_ask_for_other_orders_if_an_order_ended_wrongly(story: Story) -> None:
    story.slot.see(story.slot.now - 1)
    story.tales[0].order["state"] = "FAILED"
    assert "Something is not as it should be." in _told(story)


def test_stories_are_told_side_by_side_and_the_demo_says_how_each_ended(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "_POLL_SECONDS", 0)
    # Given one that waits in the middle, and one that does not
    joins, forms, pays = Line("member 1", "joins"), Line("group buy", "FORMED", "2 of 2"), Line("customer", "pays")
    group, juice = Episode("group", _telling(joins, None, forms)), Episode("juice", _telling(pays))
    # When they are told
    told = list(episodes.tell([group, juice]))
    # Then neither waits for the other
    assert told == [(group, joins), (juice, pays), (group, forms)]
    assert "✓ group: FORMED, 2 of 2\n✓ juice: pays\nAll of them" in _told(story, group, juice)


def test_a_story_that_ends_otherwise_does_not_stop_the_others_and_is_reported(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "_POLL_SECONDS", 0)
    bad, good = Episode("group", _telling(fault="it is SHORT")), Episode("juice", _telling(None, Line("order", "PAID")))
    list(episodes.tell([bad, good]))
    assert (bad.is_right, good.is_right) == (False, True)
    told = _told(story, bad, good)
    assert "✗ group: not begun, it is SHORT" in told
    assert told.endswith("Something is not as it should be.\n")


def test_a_story_that_does_not_end_in_time_is_reported(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "_SECONDS_IN_ALL", 0)
    slow = Episode("juice", _telling(None))
    assert list(episodes.tell([slow])) == []
    assert not slow.is_right
    assert "✗ juice: not begun, it has not ended in time" in _told(story, slow)
