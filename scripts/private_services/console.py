"""The output of the tools: one line a stage, and errors that end them."""

from __future__ import annotations

import sys
from pathlib import Path

LOG_LINES_SHOWN = 30


class Failure(Exception):
    """An error that only the user can correct; the text says how."""

    exit_code = 1


def say(line: str) -> None:
    """Print one line of progress at once, even into a pipe."""
    print(line, flush=True)


def complain(text: str) -> None:
    """Print an error."""
    print(text, file=sys.stderr, flush=True)


def tail(log: Path) -> str:
    """Return the end of a log file, to be shown with an error."""
    if not log.exists():
        return f"(no log at {log})"
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)])
