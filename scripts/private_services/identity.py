"""The user as which PostgreSQL runs: the current one, or an ordinary user instead of root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from private_services.console import Failure

USER: Final = "postgres"


@dataclass(frozen=True)
class Identity:
    """The user for commands."""

    prefix: tuple[str, ...]
    uid: int
    gid: int

    @classmethod
    def for_directories(cls, *directories: Path) -> Identity:
        """Return the identity that can work in these directories; create the user if there is none.

        Raises:
            Failure: this system has no way to change the user.
        """
        if os.geteuid() != 0:
            return cls((), os.geteuid(), os.getegid())
        if not shutil.which("setpriv"):
            raise Failure("PostgreSQL refuses to run as root, and setpriv was not found: run this as a user.")
        user = _user()
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        if not all(map(_is_open_to_all, directories)):
            # A directory above is private, such as /root: let the server pass through.
            prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return cls(tuple(prefix), user.pw_uid, user.pw_gid)

    def command(self, command: Sequence[str | Path]) -> list[str]:
        """Return the command that runs it as the user."""
        return [*self.prefix, *map(str, command)]

    def own(self, path: Path) -> None:
        """Make the path the user's own."""
        os.chown(path, self.uid, self.gid)


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", USER], check=True)
        return pwd.getpwnam(USER)


def _is_open_to_all(directory: Path) -> bool:
    """Whether every user can reach the directory."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (directory, *directory.parents))
