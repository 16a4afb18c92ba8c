"""An app whose ``sagas`` module raises at import."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import servers

BROKEN = "from sagas import Saga\n\nraise RuntimeError('not today')\n"


def install(directory: Path) -> dict[str, str]:
    """Write the app ``brokenapp`` there; return what the environment of a process that has it must hold."""
    app = directory / "brokenapp"
    app.mkdir()
    (app / "__init__.py").write_text("")
    (app / "sagas.py").write_text(BROKEN)
    return {"LAB_APPS": "brokenapp", "PYTHONPATH": os.pathsep.join([str(directory), str(servers.ROOT)])}
