"""Show the demo: live on a terminal, otherwise a line for each event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.episodes import Episode, Line
from demo.story import Count, Story, Tale

_COLOURS = {
    "PENDING": "dim",
    "EXECUTING": "cyan",
    "AWAITING_CONFIRM": "magenta",
    "CONFIRMING": "cyan",
    "COMPENSATING": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "waiting": "dim",
    "done": "green",
    "held": "magenta",
    "confirmed": "green",
    "rejected": "red",
    "failing": "red",
    "compensated": "yellow",
}
#: The payment deadline, whose countdown is drawn as a bar.
_DEADLINE_SECONDS = 30
_BAR = 10
_STEPS = ("create_order", "reserve_inventory", "apply_coupon", "schedule_delivery")


@contextmanager
def showing(story: Story, console: Console) -> Iterator[Callable[[], None]]:
    """Return the function to be called whenever something may have changed."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda: live.update(_picture(story), refresh=True)
    else:
        yield _Lines(story, console).show


def show_line(episode: Episode, line: Line, console: Console) -> None:
    """Print something that has happened."""
    _out(console, episode.title, line.what, line.value, line.more)


def summarise(story: Story, episodes: list[Episode], console: Console) -> None:
    """Print how every order and every other story ended, and whether that is right."""
    for tale in story.tales:
        reason = tale.order.get("reason")
        why = f": {reason['detail']}" if reason else ""
        console.print(f"{_tick(tale.is_right)} {tale.title}: {tale.state or 'not placed'}{why}", highlight=False)
    for count in story.counts:
        expected = f"{count.before - count.taken} expected"
        line = f"{_tick(count.is_right)} {count.name}: {count.before} before, {count.lowest} while held, "
        console.print(f"{line}{count.now} after ({expected})", highlight=False)
    for episode in episodes:
        last = episode.last or Line("", "not begun")
        why = episode.fault or last.more
        line = f"{episode.title}: {last.value}{', ' if why else ''}{why}"
        console.print(Text.assemble(Text.from_markup(_tick(episode.is_right)), " ", line))
    is_right = story.is_right and all(episode.is_right for episode in episodes)
    console.print(Text(_verdict(story, episodes), style="bold green" if is_right else "bold red"))


def _verdict(story: Story, episodes: list[Episode]) -> str:
    if not (all(tale.is_right for tale in story.tales) and all(episode.is_right for episode in episodes)):
        return "Something is not as it should be."
    if story.is_right:
        return "All of them ended as they should."
    return "All of them ended as they should, and the counts do not fit: did somebody else order meanwhile?"


def _tick(is_right: bool) -> str:
    return "[green]✓[/]" if is_right else "[red]✗[/]"


def _picture(story: Story) -> Group:
    return Group(_orders(story.tales, datetime.now(UTC)), _counts(story.counts))


def _orders(tales: list[Tale], now: datetime) -> Table:
    """One column an order, one row a step, for a terminal of 80 by 24."""
    table = Table("", *(tale.title for tale in tales), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_row("order", *(Text(tale.order.get("order_no", "").removeprefix("ORD-")) for tale in tales))
    table.add_row("state", *(_word(tale.state or "…") for tale in tales))
    for index, name in enumerate(_STEPS):
        table.add_row(name, *(_step(tale.order, index) for tale in tales))
    table.add_row("payment due", *(_countdown(tale.seconds_left(now)) for tale in tales))
    table.add_row("undone because", *(Text((tale.order.get("reason") or {}).get("detail", "")) for tale in tales))
    return table


def _step(order: dict[str, Any], index: int) -> Text:
    steps = order.get("steps", [])
    if index >= len(steps):
        return Text()
    return Text.assemble(_word(steps[index]["state"]), " ", (_after(order, steps[index]), "dim"))


def _after(order: dict[str, Any], step: dict[str, Any]) -> str:
    """When the step last changed, counted from the order's acceptance."""
    if not step["finished_at"]:
        return ""
    took = datetime.fromisoformat(step["finished_at"]) - datetime.fromisoformat(order["created_at"])
    return f"{took.total_seconds():.2f}s"


def _countdown(left: float | None) -> Text:
    if left is None:
        return Text()
    full = round(min(left / _DEADLINE_SECONDS, 1) * _BAR)
    return Text.assemble(("█" * full, "magenta"), ("░" * (_BAR - full), "dim"), f" {left:4.1f} s")


def _counts(counts: list[Count]) -> Table:
    table = Table("available", "before", "while held", "now", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for count in counts:
        style = "" if count.now == count.before else "magenta"
        table.add_row(count.name, str(count.before), str(count.lowest), Text(str(count.now), style=style))
    return table


def _word(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


class _Lines:
    """Print what has changed since the last look."""

    def __init__(self, story: Story, console: Console) -> None:
        self._story = story
        self._console = console
        self._known: dict[tuple[str, str], str] = {}

    def show(self) -> None:
        for tale in self._story.tales:
            self._tell(tale.title, "order", tale.state, tale.order.get("order_no", ""))
            for step in tale.order.get("steps", []):
                if step["state"] != "waiting":
                    self._tell(tale.title, step["name"], step["state"], _after(tale.order, step))
        for count in self._story.counts:
            self._tell("available", count.name, str(count.now), "")

    def _tell(self, of: str, what: str, value: str, more: str) -> None:
        if value and self._known.get((of, what)) != value:
            self._known[of, what] = value
            _out(self._console, of, what, value, more)


def _out(console: Console, of: str, what: str, value: str, more: str) -> None:
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    console.out(f"{now}  {of:20} {what:18} {value:17} {more}".rstrip(), highlight=False)
