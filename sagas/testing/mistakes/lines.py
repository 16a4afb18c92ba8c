"""Whose line is it: the project's own, a library's, or the engine's?"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType

import django

import sagas

_LIBRARIES = tuple({*(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))})
# With what separates folders: a project may be in a folder beside the engine's whose name begins as its does.
_ENGINE = f"{Path(sagas.__file__).parent}{os.sep}"
_DJANGO = f"{Path(django.__file__).parent}{os.sep}"
_TIMEZONE = "django/utils/timezone.py"
_LOGGING = f"{sysconfig.get_paths()['stdlib']}/logging/"
#: Code that is written by ``dataclasses`` and its like for a class of the project's.
_WRITTEN = ("<string>", "<attrs")
_NOT_OWN = frozenset({"sagas", "django"})


class Lines:
    """Knows the project's own lines.

    Args:
        modules: names of modules that are the project's. Those that are in the same packages are, too, even where the
            project is installed among the libraries, as tox does it.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._packages = frozenset(name.partition(".")[0] for name in modules) - _NOT_OWN

    def is_own(self, frame: FrameType) -> bool:
        """Whether the project has written it."""
        file = frame.f_code.co_filename
        if file.startswith((_ENGINE, "<")):
            return False
        return not file.startswith(_LIBRARIES) or str(frame.f_globals.get("__name__")).partition(".")[0] in (
            self._packages
        )

    def reader(self, frame: FrameType | None) -> FrameType | None:
        """The project's own line that asks for the time; a library that does it may have its reasons."""
        while frame is not None and frame.f_code.co_filename.endswith(_TIMEZONE):
            frame = frame.f_back
        while frame is not None and frame.f_code.co_filename.startswith(_WRITTEN):
            frame = frame.f_back
        return frame if frame is not None and self.is_own(frame) else None

    def caller(self, frame: FrameType) -> FrameType:
        """The nearest line of the project's own, if there is one."""
        return next((one for one in stack(frame) if self.is_own(one)), frame)


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that wait for it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_logged(frame: FrameType) -> bool:
    """Whether a log is written."""
    return any(one.f_code.co_filename.startswith(_LOGGING) for one in stack(frame))


def is_djangos_connection(frame: FrameType) -> bool:
    """Whether Django opens a connection to a database."""
    return any(one.f_code.co_filename.endswith("django/db/backends/base/base.py") for one in stack(frame))


def is_for_engine(frame: FrameType) -> bool:
    """Whether Django is called by the engine, or for something of its own."""
    asks = next((one for one in stack(frame) if "/django/db/" not in one.f_code.co_filename), frame)
    return asks.f_code.co_filename.startswith((_ENGINE, _DJANGO))


def place(frame: FrameType) -> str:
    """Where it is."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
