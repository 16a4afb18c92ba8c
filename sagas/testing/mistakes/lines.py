"""Tells whether a line of code belongs to the project, to a library or to the engine."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType

import django

import sagas

_LIBRARIES = tuple({*(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))})
# With a separator at the end: the name of a neighbouring folder may begin with the name of the engine's folder.
_ENGINE = f"{Path(sagas.__file__).parent}{os.sep}"
_DJANGO = f"{Path(django.__file__).parent}{os.sep}"
_TIMEZONE = "django/utils/timezone.py"
_LOGGING = f"{sysconfig.get_paths()['stdlib']}/logging/"
#: File names of code that ``dataclasses`` and similar libraries generate.
_GENERATED = ("<string>", "<attrs")
_NOT_OWN = frozenset({"sagas", "django"})


class ProjectLines:
    """Recognizes lines of the project.

    Args:
        modules: names of modules of the project. All modules of the same packages count as the project's, even if the
            project is installed among the libraries, as tox does.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._packages = frozenset(name.partition(".")[0] for name in modules) - _NOT_OWN

    def is_own(self, frame: FrameType) -> bool:
        """Whether a frame belongs to the project."""
        file = frame.f_code.co_filename
        if file.startswith((_ENGINE, "<")):
            return False
        return not file.startswith(_LIBRARIES) or str(frame.f_globals.get("__name__")).partition(".")[0] in (
            self._packages
        )

    def clock_reader(self, frame: FrameType | None) -> FrameType | None:
        """Return the project's frame that reads a clock; ``None`` if a library does."""
        while frame is not None and frame.f_code.co_filename.endswith(_TIMEZONE):
            frame = frame.f_back
        while frame is not None and frame.f_code.co_filename.startswith(_GENERATED):
            frame = frame.f_back
        return frame if frame is not None and self.is_own(frame) else None

    def project_caller(self, frame: FrameType) -> FrameType:
        """Return the nearest frame of the project, or else ``frame``."""
        return next((one for one in stack(frame) if self.is_own(one)), frame)


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_logged(frame: FrameType) -> bool:
    """Whether the frame belongs to a call of ``logging``."""
    return any(one.f_code.co_filename.startswith(_LOGGING) for one in stack(frame))


def is_djangos_connection(frame: FrameType) -> bool:
    """Whether the frame belongs to Django opening a database connection."""
    return any(one.f_code.co_filename.endswith("django/db/backends/base/base.py") for one in stack(frame))


def is_for_engine(frame: FrameType) -> bool:
    """Whether the engine or Django itself makes a call of ``django.db``."""
    caller = next((one for one in stack(frame) if "/django/db/" not in one.f_code.co_filename), frame)
    return caller.f_code.co_filename.startswith((_ENGINE, _DJANGO))


def frame_location(frame: FrameType) -> str:
    """Format the place of a frame."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
