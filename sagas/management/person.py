"""Who gives a command, where nobody is named."""

from __future__ import annotations

import getpass


def user_here() -> str:
    """The user of this machine; in a container the user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
