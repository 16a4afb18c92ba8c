"""The participant of ``examples/loyalty-points``, as a real Node.js process that a test can have misbehave and kill."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from private_services import ports

from sagas.remote import lanes
from tests.support import servers
from tests.support.awaiting import eventually

SERVER = servers.ROOT / "examples" / "loyalty-points" / "server.mjs"


def _find() -> str | None:
    """Node.js, if it is recent enough."""
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return node if int(version.strip().removeprefix("v").partition(".")[0] or 0) >= 18 else None


NODE = _find()

#: What the lab's participant sends, unless it is told otherwise.
TOKEN = "of-the-lab"

needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js 18: scripts/bootstrap --dev installs it, as root")


class Points:
    """One ``node server.mjs`` on a port of its own, with its journal in ``folder``."""

    def __init__(self, folder: Path, *, token: str = TOKEN) -> None:
        self.journal = folder / "points.journal"
        self.log = folder / "points.log"
        self.token = token
        # None that the kernel gives to whoever calls out: it must be free again each time that the process comes back.
        self.port = ports.choose(taken=())
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Points:
        """Start it, on the journal that is there, and wait until it answers."""
        environment = {"PORT": str(self.port), "POINTS_JOURNAL": str(self.journal), "POINTS_FAULTS": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [NODE or "node", str(SERVER)],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "POINTS_TOKEN": self.token, **environment},
            )
        eventually(self.answers, what="the points answer")
        return self

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def await_death(self) -> int:
        """Wait until it has died of a fault; its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=20)

    def stop(self) -> None:
        """End it, however it is."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """One request, as anybody may send it."""
        sent = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        content = None if body is None else json.dumps(body)
        return httpx.request(method, f"{self.url}{path}", content=content, headers=sent, timeout=10)

    def open(self, account: str, points: int) -> None:
        """Open an account."""
        self.call("PUT", f"/accounts/{quote(account)}", {"points": points}).raise_for_status()

    def account(self, account: str) -> tuple[int, int]:
        """What is on an account, and what of it is held."""
        found = self.call("GET", f"/accounts/{quote(account)}").raise_for_status().json()
        return found["balance"], found["held"]

    def fail(self, **fault: Any) -> None:
        """Plan a fault; see ``faults.mjs``."""
        self.call("PUT", "/test/faults", fault).raise_for_status()

    def recover(self) -> None:
        """Forget the faults, release the callers that are held, and wait until this process makes no call any more.

        A call that is still under way takes up a place in the lane: the next test could make one call less.
        """
        self.call("DELETE", "/test/faults").raise_for_status()
        eventually(lambda: lanes.count_calls() == 0, what="the calls of this process are over")

    def holding(self) -> int:
        """How many callers are being held."""
        return int(self.call("GET", "/test/faults").json()["holding"])

    def answers(self) -> bool:
        """Whether it answers; fails if it has died."""
        assert self._process is None or self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False
