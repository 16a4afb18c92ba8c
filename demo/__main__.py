"""``python -m demo``: exit code 0 if every order ended as expected, 1 if not, 2 if the platform is not running."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from demo.client import Access, Api, NotUp, Unexpected
from demo.screen import showing, summarise
from demo.story import Story

_FILE = Path(__file__).resolve().parent.parent / ".run" / "demo.env"


def main() -> int:
    """Play the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Three orders on a running platform, watched.")
    parser.add_argument("--env", type=Path, default=_FILE, help="what `make run` has written (default: .run/demo.env)")
    arguments = parser.parse_args()
    console = Console()
    try:
        story = Story(Api(Access.read(arguments.env)))
        with showing(story, console) as show:
            for _ in story.tell():
                show()
    except NotUp as error:
        console.print(f"{error} {NotUp.__doc__}", highlight=False, markup=False)
        return 2
    except Unexpected as error:
        console.print(str(error), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped watching. The orders go on without us.")
        return 130
    summarise(story, console)
    return 0 if story.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
