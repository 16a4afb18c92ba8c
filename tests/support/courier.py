"""The participant of ``examples/courier``, as a real process that a test can have misbehave."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from private_services import ports

from tests.support import servers
from tests.support.awaiting import eventually

SERVER = servers.ROOT / "examples" / "courier" / "server.py"


class Courier:
    """One ``python server.py`` on a port of its own, with its journal in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = ports.choose(taken=())
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Courier:
        """Start it, on the journal that is there, and wait until it answers."""
        arguments = ["--port", str(self.port), "--journal", str(self._folder / "courier.sqlite3")]
        with (self._folder / "courier.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=log, stderr=log)
        eventually(self._answers, what="the courier answers")
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def switch(self, **switches: Any) -> None:
        """Let it be slow, fail or forget from now on; without arguments, do everything right."""
        httpx.put(f"{self.url}/switches", json=switches, timeout=10).raise_for_status()

    def state(self, run_id: UUID) -> str:
        """The state of a run's delivery; '' if it has none."""
        found = httpx.get(f"{self.url}/deliveries", timeout=10).raise_for_status().json()["deliveries"]
        return next((one["state"] for one in found if one["tx"] == str(run_id)), "")

    def log(self) -> str:
        """What it has written about its requests."""
        return (self._folder / "courier.log").read_text()

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/deliveries", timeout=10).status_code == 200
        return False
