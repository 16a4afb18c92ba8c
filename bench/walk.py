"""The engine's modules that a piece of work passes through, counted as it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Django's database backend: every statement passes it.
_BACKEND = "sagas.postgresql"


class Walk:
    """The modules of ``sagas`` in the order in which one piece of work passes through them.

    A *stay* begins with a call of a function that belongs to another module than the function called before it.
    A *return* is a stay in a module in which the walk has been before. A *crossing* is any change of the module that
    runs, by a call or at a call's end. Code outside ``sagas`` (Django, Celery, participants) does not count, nor does
    the database backend, nor what ``dataclass`` generates.

    Args:
        within: count only inside functions of this name; everything if it is empty.

    Attributes:
        stays: the module of each stay, without "sagas.".
        crossings: how many there were.
    """

    def __init__(self, within: str = "") -> None:
        self.stays: list[str] = []
        self.crossings = 0
        self._within = within
        #: The call that is counted now, with all that it calls.
        self._counted: FrameType | None = None
        self._running = ""

    @property
    def modules(self) -> int:
        """How many different modules there are among the stays."""
        return len(set(self.stays))

    @property
    def returns(self) -> int:
        """How many stays were in a module in which the walk had been before."""
        return len(self.stays) - self.modules

    @classmethod
    def joined(cls, walks: Iterable[Walk]) -> Walk:
        """One walk after the other, as one."""
        whole = cls()
        for walk in walks:
            whole.stays += walk.stays
            whole.crossings += walk.crossings
        return whole

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what this thread does inside this block."""
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event not in {"call", "return"} or not (module := _module(frame)):
            return
        if event == "call":
            if self._counted is None and self._within in {"", frame.f_code.co_name}:
                self._counted = frame
            if self._counted is not None:
                if self.stays[-1:] != [module]:
                    self.stays.append(module)
                self._change_to(module)
        elif frame is self._counted:
            self._counted, self._running = None, ""
        elif self._counted is not None:
            self._change_to(_caller(frame))

    def _change_to(self, module: str) -> None:
        if self._running not in {"", module}:
            self.crossings += 1
        self._running = module


def _module(frame: FrameType) -> str:
    """The module of ``sagas`` whose function this is; empty for a function that does not count."""
    name = str(frame.f_globals.get("__name__", ""))
    if not name.startswith("sagas.") or name.startswith(_BACKEND) or frame.f_code.co_filename.startswith("<"):
        return ""
    return name.removeprefix("sagas.")


def _caller(frame: FrameType) -> str:
    """The module that runs when this function has ended."""
    caller = frame.f_back
    while caller is not None and not _module(caller):
        caller = caller.f_back
    return _module(caller) if caller else ""
