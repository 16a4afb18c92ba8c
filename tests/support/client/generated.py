"""Generates the typed client, once for a process of tests."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.support import servers

SCRIPT = servers.ROOT / "scripts" / "api-client"


@cache
def folder() -> Path:
    """Where the package `drinkgroup_client` is; from now on it can be imported.

    Raises:
        AssertionError: the generator has complained, so that a part of the API may be missing.
    """
    found = Path(mkdtemp(prefix="api-client-"))
    made = subprocess.run([SCRIPT, found], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.append(str(found))
    return found
