"""``python -m demo``: exit code 0 if every story ended as expected, 1 if not, 2 if the platform is not running."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from demo import episodes
from demo.client import Access, Api, NotUp, Unexpected
from demo.episodes import Cast
from demo.people import Payer, Staff
from demo.screen import show_line, showing, summarise
from demo.story import Story

#: Who joins a group buy with the demo customer.
_FRIEND = "demo-friend"
_FILE = Path(__file__).resolve().parent.parent / ".run" / "demo.env"


def main() -> int:
    """Play the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Orders and group buys, watched.")
    parser.add_argument("--env", type=Path, default=_FILE, help="what `make run` has written (default: .run/demo.env)")
    arguments = parser.parse_args()
    console = Console()
    try:
        access = Access.read(arguments.env)
        api = Api(access)
        friend, payer, staff = Api.log_in(access, _FRIEND), Payer(access), Staff(access)
        story = Story(api)
        with showing(story, console) as show:
            for _ in story.tell():
                show()
        more = episodes.begin(Cast([api, friend], payer, staff, story.slot_id), undone=story.unpaid)
        for episode, line in episodes.tell(more):
            show_line(episode, line, console)
    except NotUp as error:
        console.print(f"{error} {NotUp.__doc__}", highlight=False, markup=False)
        return 2
    except Unexpected as error:
        console.print(str(error), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped watching. The orders go on without us.")
        return 130
    summarise(story, more, console)
    return 0 if story.is_right and all(episode.is_right for episode in more) else 1


if __name__ == "__main__":
    sys.exit(main())
