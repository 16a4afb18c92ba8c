"""Errors of the disk, in one line each: full, read-only, or another user's."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

from private_services.console import Failure

#: What programs of all kinds say of a full disk.
FULL: Final = "No space left on device"

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_REFUSED: Final = {errno.EROFS, errno.EACCES, errno.EPERM}


def need_space(folder: Path, megabytes: int) -> None:
    """Refuse to begin what would not fit.

    Raises:
        Failure: less than this is free.
    """
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise Failure(f"The disk is full: {folder} has {free} MB free, and {megabytes} MB are needed.")


def explain(error: OSError) -> str:
    """Say in one line what is wrong, and what to do."""
    place = error.filename or "a file"
    if error.errno in _FULL:
        return f"The disk is full: {place} could not be written. Free some space, and run this again."
    if error.errno in _REFUSED:
        return f"{place} cannot be written ({error.strerror}). Run this in a folder of your own, or give one: --dir DIR"
    return f"{place}: {error.strerror}."
