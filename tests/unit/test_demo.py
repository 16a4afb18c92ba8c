"""What the demo says in the end."""

from __future__ import annotations

from typing import Any, cast

import pytest
from rich.console import Console

from demo.client import Api
from demo.screen import summarise
from demo.story import Story


class _Shelf:
    """What a story reads before it begins."""

    def menu(self) -> list[dict[str, Any]]:
        return [{"sku": code, "available": 9} for code in ("TEA", "MILK", "PLUM")]

    def slots(self) -> list[dict[str, Any]]:
        return [{"id": 1, "starts_at": "2026-11-30T10:00:00+08:00", "available": 9}]


def _told(story: Story) -> str:
    console = Console(record=True, width=200)
    summarise(story, console)
    return console.export_text()


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
    assert _told(story).endswith("All three ended as they should.\n")


def test_the_demo_asks_for_other_orders_if_only_the_counts_differ(story: Story) -> None:
    story.slot.see(story.slot.now - 1)
    assert not story.is_right
    assert "did somebody else order meanwhile?" in _told(story)


def test_the_demo_does_not_ask_for_other_orders_if_an_order_ended_wrongly(story: Story) -> None:
    story.slot.see(story.slot.now - 1)
    story.tales[0].order["state"] = "FAILED"
    assert "Something is not as it should be." in _told(story)
