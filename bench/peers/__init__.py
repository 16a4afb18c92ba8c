"""Other engines, each in an environment of its own under ``.run/peers``, with pinned versions (docs/adr/0047)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bench.servers import DIRECTORY, ROOT
from bench.workers import running

_HERE = Path(__file__).resolve().parent
_PROGRAMS = _HERE / "programs"
_ENVIRONMENTS = ROOT / ".run" / "peers"


class Unavailable(Exception):
    """An engine cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine, in one way of using it.

    Attributes:
        name: of its database.
        title: as in tables.
        program: in ``programs``.
        environment: its requirements' name; ``None`` for this repository's own environment.
        runs: how many are started in a round: it takes about five seconds.
    """

    name: str
    title: str
    program: str
    environment: str | None
    runs: int

    @property
    def _python(self) -> Path:
        return _ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    @property
    def _variables(self) -> dict[str, str]:
        parts = urlsplit(os.environ["DATABASE_URL"])
        url = urlunsplit(parts._replace(path=f"/bench_{self.name}"))
        return {"DATABASE_URL": url, "PEER": self.name, "DJANGO_SETTINGS_MODULE": "", "PYTHONPATH": str(_PROGRAMS)}

    def install(self) -> None:
        """Make its environment, unless it is there with the same requirements.

        Raises:
            Unavailable: that failed.
        """
        if self.environment is None:
            return
        wanted = _HERE / "requirements" / f"{self.environment}.txt"
        digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
        target = _ENVIRONMENTS / self.environment
        mark = target / "installed"
        if mark.exists() and mark.read_text() == digest:
            return
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(target)],
            [str(self._python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(wanted)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
            if done.returncode:
                raise Unavailable(f"cannot be installed here: {last_line(done.stderr)}")
        mark.write_text(digest)

    def call(self, *arguments: str) -> str:
        """Run its program; return its output.

        Raises:
            Unavailable: it failed.
        """
        command = [str(self._python), str(_PROGRAMS / self.program), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - ours
                command,
                env={**os.environ, **self._variables},
                cwd=_PROGRAMS,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{' '.join(arguments)} took longer than 300 s") from None
        if done.returncode:
            raise Unavailable(f"{' '.join(arguments)} failed: {last_line(done.stderr)}")
        return done.stdout

    def idle(self, first: int, count: int) -> list[float]:
        """Milliseconds of single runs, each until another session sees its fourth step committed."""
        found: list[float] = json.loads(self.call("idle", str(first), str(count)).splitlines()[-1])
        return found

    @contextmanager
    def worker(self, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Run its worker processes."""
        command = [str(self._python), str(_PROGRAMS / self.program), "work"]
        log = DIRECTORY / f"peer-{self.name}.log"
        with running(command, log, {**self._variables, **(environment or {})}, cwd=_PROGRAMS) as process:
            yield process


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "without a word"


PEERS = (
    Peer("naive", "Django and Celery, by hand", "naive.py", None, 600),
    Peer("celery_saga", "celery-saga", "celery_saga_.py", "celery_saga", 300),
    Peer("dbos_queue", "DBOS, a queue", "dbos_.py", "dbos", 200),
    Peer("dbos_threads", "DBOS, threads", "dbos_.py", "dbos", 200),
    Peer("procrastinate", "procrastinate", "procrastinate_.py", "procrastinate", 400),
    Peer("dramatiq", "dramatiq", "dramatiq_.py", "dramatiq", 600),
)
#: The seed's case, beside one hot SKU: no engine, so it is not among the others.
LOCKED = Peer("hot_lock", "TCC under a lock in Redis", "hot_lock.py", None, 1000)
#: Engines that were looked for and are not measured, and why.
ABSENT = {"oban": "its port to Python needs Python 3.12 or later; this benchmark runs on 3.11, so it has no program"}
