"""The threads of the web server: whichever was busy last serves next, and nothing that breaks ends one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from drinkgroup.server import Threads
from tests.support.awaiting import eventually


class Task:
    """What the loop gives to a thread."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self._work = work
        self.served_by: str | None = None
        self.cancelled = False
        self.done = threading.Event()

    def service(self) -> None:
        self.served_by = threading.current_thread().name
        try:
            self._work()
        finally:
            self.done.set()

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(3)
    eventually(lambda: len(made._free) == 3)
    yield made
    made.shutdown()


def served(threads: Threads, free: int = 3, work: Callable[[], object] = lambda: None) -> Task:
    """Have one task served, until its thread is free again."""
    task = Task(work)
    threads.add_task(task)
    assert task.done.wait(10)
    eventually(lambda: len(threads._free) == free)
    return task


def test_requests_that_follow_each_other_are_served_by_one_thread(threads: Threads) -> None:
    assert len({served(threads).served_by for _ in range(20)}) == 1


def test_while_one_is_busy_another_serves(threads: Threads) -> None:
    # Given
    goes_on = threading.Event()
    slow = Task(lambda: goes_on.wait(10))
    threads.add_task(slow)
    # When
    others = {served(threads, free=2).served_by for _ in range(5)}
    goes_on.set()
    # Then
    assert slow.done.wait(10)
    assert len(others) == 1
    assert slow.served_by not in others


def test_what_finds_no_free_thread_waits_its_turn(threads: Threads) -> None:
    # Given
    goes_on, order = threading.Event(), list[int]()
    busy = [Task(lambda: goes_on.wait(10)) for _ in range(3)]
    for task in busy:
        threads.add_task(task)
    waiting = [Task(lambda number=number: order.append(number)) for number in range(3)]  # type: ignore[misc]
    # When
    for task in waiting:
        threads.add_task(task)
    assert order == []
    goes_on.set()
    # Then
    assert all(task.done.wait(10) for task in [*busy, *waiting])
    assert sorted(order) == [0, 1, 2]


def test_a_task_that_breaks_does_not_end_its_thread(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    def exit_() -> None:
        raise SystemExit(1)

    # When
    broken = served(threads, work=exit_)
    # Then the same thread serves the next one
    assert served(threads).served_by == broken.served_by
    assert "a request broke its thread" in caplog.text


def test_at_the_end_what_waits_is_cancelled_and_what_is_served_is_finished() -> None:
    # Given
    threads = Threads(1)
    begun, goes_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        goes_on.wait(10)

    served, waiting = Task(work), Task()
    threads.add_task(served)
    assert begun.wait(10)
    threads.add_task(waiting)
    # When
    ends = threading.Thread(target=threads.shutdown)
    ends.start()
    eventually(lambda: waiting.cancelled)
    goes_on.set()
    ends.join(10)
    # Then
    assert served.done.is_set()
    assert waiting.served_by is None
    assert not any(thread.is_alive() for thread in threads._all)
