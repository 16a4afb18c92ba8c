"""Failed operations in the log of the process: with traceback, run, step and attempt, for people and for Sentry.

The run's log in the database has every failure. Here, failures of one kind are logged a few times a minute, and the
others are only counted: a participant that is down may fail for a hundred thousand runs.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from uuid import UUID

from sagas import runtime
from sagas.decisions.reasons import error_text
from sagas.validation import printable

logger = logging.getLogger(__name__)

#: Each process logs so many failures of one kind in a window of so many seconds.
BURST = 10
WINDOW = 60.0
#: So many kinds are remembered. With one more, all are forgotten, and are logged again.
_KINDS = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed operation of a run.

    Attributes:
        saga: the run's saga.
        step: the step.
        operation: the operation.
        run_id: the run.
        attempt: the number of the attempt, from 1.
        error: what was raised.
        follows: what happens next, for people.
        final: whether no attempt follows automatically.
        hide: removes personal data from a text; ``None`` if there is none.
        trace_id: the run's trace, as 32 hexadecimal digits.
    """

    saga: str
    step: str
    operation: str
    run_id: UUID
    attempt: int
    error: BaseException
    follows: str
    final: bool
    hide: Callable[[str], str] | None = None
    trace_id: str = ""

    @property
    def kind(self) -> Hashable:
        """Failures of one kind are logged together."""
        return self.saga, self.step, self.operation, type(self.error).__qualname__, self.final


def log_failure(failure: Failure) -> None:
    """Log a failure, unless many of its kind were logged lately: as an error if it is final, else as a warning."""
    throttle = runtime.memory.failures = runtime.memory.failures or Throttle()
    suppressed = throttle.take(failure.kind)
    if suppressed is None:
        return
    logger.log(
        logging.ERROR if failure.final else logging.WARNING,
        "sagas: %s %s.%s of run %s broke at attempt %d, and %s: %s: %s%s",
        failure.saga,
        failure.step,
        failure.operation,
        failure.run_id,
        failure.attempt,
        failure.follows,
        type(failure.error).__name__,
        _text(failure.error, failure.hide),
        f" ({suppressed:,} more like it were not told)" if suppressed else "",
        exc_info=exc_info_of(failure.error, failure.hide),
        extra={
            "saga": failure.saga,
            "step": failure.step,
            "operation": failure.operation,
            "run_id": str(failure.run_id),
            "attempt": failure.attempt,
            **({"trace_id": failure.trace_id} if failure.trace_id else {}),
        },
    )


Trace = tuple[type[BaseException], BaseException, TracebackType | None]


def exc_info_of(error: BaseException, hide: Callable[[str], str] | None) -> Trace | None:
    """The ``exc_info`` for a logger, without personal data; ``None`` for an error that was never raised.

    A logger writes the text of every exception in the chain. If there is something to hide, an exception of the same
    name and with the same traceback stands in for each. The frames lose their variables, which Sentry would send. A
    text that no stream can write (half of a surrogate pair) is replaced in the same way.
    """
    if error.__traceback__ is None:
        return None
    shown = error
    if hide is not None:
        shown = _stand_in(error, hide, set())
        _empty_frames(error, set())
    elif not all(text == printable(text) for text in _texts(error, set())):
        shown = _stand_in(error, printable, set())
    return type(shown), shown, shown.__traceback__


def _behind(error: BaseException, seen: set[int]) -> list[BaseException]:
    """The cause and the context of an exception, without those that were visited."""
    seen.add(id(error))
    return [behind for behind in (error.__cause__, error.__context__) if behind is not None and id(behind) not in seen]


def _texts(error: BaseException, seen: set[int]) -> Iterator[str]:
    yield error_text(error)
    for behind in _behind(error, seen):
        yield from _texts(behind, seen)


def _empty_frames(error: BaseException, seen: set[int]) -> None:
    traceback.clear_frames(error.__traceback__)
    for behind in _behind(error, seen):
        _empty_frames(behind, seen)


def _stand_in(error: BaseException, hide: Callable[[str], str], seen: set[int]) -> BaseException:
    seen.add(id(error))
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    shown: BaseException = type(kind.__name__, (Exception,), names)(_text(error, hide))
    shown.__traceback__ = error.__traceback__
    for link in ("__cause__", "__context__"):
        behind: BaseException | None = getattr(error, link)
        if behind is not None and id(behind) not in seen:
            setattr(shown, link, _stand_in(behind, hide, seen))
    shown.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        shown.add_note(hide(str(note)))
    return shown


def _text(error: BaseException, hide: Callable[[str], str] | None) -> str:
    text = error_text(error)
    return printable(hide(text) if hide is not None else text)


@dataclass(slots=True)
class _Window:
    began_at: float
    told: int = 0
    suppressed: int = 0


@dataclass(slots=True)
class Throttle:
    """Lets a few failures of each kind through in a window, and counts the others."""

    clock: Callable[[], float] = time.monotonic
    _windows: dict[Hashable, _Window] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: Hashable) -> int | None:
        """Return how many of the kind were held back before this one; ``None`` if this one is held back."""
        now = self.clock()
        with self._lock:
            window = self._windows.get(kind)
            if window is None or now - window.began_at >= WINDOW:
                if len(self._windows) >= _KINDS:
                    self._windows.clear()
                before = window.suppressed if window is not None else 0
                self._windows[kind] = _Window(now, told=1)
                return before
            if window.told < BURST:
                window.told += 1
                return 0
            window.suppressed += 1
            return None
