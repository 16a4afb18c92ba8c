"""A private PostgreSQL cluster, as durable as a real one, with one role that may create databases."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from private_services import programs, wheel
from private_services.console import Failure, say, tail
from private_services.disk import FULL, need_space
from private_services.identity import Identity
from private_services.ports import LOOPBACK
from private_services.programs import Missing
from private_services.server import Server

OLDEST: Final = 15
ROLE: Final = "drinkgroup"
#: A role that owns nothing, for the application.
APPLICATION: Final = "drinkgroup_app"
#: A role that reads replication slots, for `manage.py reconcile follow`.
FOLLOWER: Final = "drinkgroup_follow"

#: Passed on the command line at each start, so that a change here reaches existing clusters.
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # Kept in the cluster's own directory, so that a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "fsync": "on",
    "synchronous_commit": "on",
    # For `manage.py reconcile follow`.
    "wal_level": "logical",
    # A follower that does not come back does not fill the disk.
    "max_slot_wal_keep_size": "1GB",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %d ",
}

#: Megabytes of a new cluster with its first segments of WAL, and those without which none is started.
_MEGABYTES_TO_CREATE: Final = 200
_MEGABYTES_TO_START: Final = 50

_NOBODYS_PID: Final = 2**31 - 1  # beyond what any system gives out

_PROGRAMS: Final = ("postgres", "initdb", "psql")
_CLUSTER_OPTIONS: Final = (
    "--username=postgres",
    "--auth=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
)


class Postgres(Server):
    """PostgreSQL; it refuses to run as root, so it runs as another user then.

    Attributes:
        embedded: whether a new cluster is made by the wheel's PostgreSQL, also where the machine has another one.
    """

    name = "postgres"
    variable = "DATABASE_URL"
    package = "postgresql"
    fetchable = True
    stop_signal = signal.SIGINT  # the fast mode: sessions are ended instead of awaited

    embedded: bool = False
    _bin: Path

    @property
    def cluster(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def made_by(self) -> int | None:
        """The release that made the cluster, because no other can read it; ``None`` without a cluster."""
        file = self.cluster / "PG_VERSION"
        return int(file.read_text()) if file.exists() else None

    @property
    def installable(self) -> bool:
        """Not for a cluster: Debian's archive has one release, and that of the cluster is not here."""
        return not self.embedded and self.made_by is None

    @property
    def is_of_wheel(self) -> bool:
        """Whether the programs that `locate` has found are the wheel's."""
        return self._bin == wheel.programs()

    def locate(self) -> None:
        """Find the release that made the cluster; for a new one, the machine's newest, or the wheel's.

        Raises:
            Missing: there is none; `fetch` gets the wheel's.
            Failure: the cluster was made by a release that is neither on this machine nor in the wheel.
        """
        releases = {_release(folder): folder for folder in programs.folders_with(*_PROGRAMS)}
        newest = max(releases, default=0)
        if wheel.is_installed():
            releases.setdefault(wheel.release(), wheel.programs())
        wanted = self.made_by or (wheel.release() if self.embedded or newest < OLDEST else newest)
        if wanted in releases:
            self._bin = releases[wanted]
        elif wanted == wheel.release():
            raise Missing(f"PostgreSQL {OLDEST} was not found.")
        else:
            raise Failure(
                f"{self.cluster} was made by PostgreSQL {wanted}, which no other release can read, and which is not on "
                f"this machine. Install PostgreSQL {wanted}; or move {self.directory} away, to begin with no data."
            )

    def fetch(self) -> None:
        """Unpack the wheel."""
        wheel.install()

    def check(self) -> None:
        """See whether there is space for a cluster, or for its next changes."""
        need_space(self.instance.directory, _MEGABYTES_TO_START if self.made_by else _MEGABYTES_TO_CREATE)

    def launch(self) -> None:
        """Create the cluster at the first start; start the server."""
        port = self.instance.claim_port(self.name)
        identity = Identity.for_directories(self.directory, self._bin)
        if not self.made_by:
            say(f"{self.name}: making a cluster of PostgreSQL {_release(self._bin)}")
            self._make_cluster(identity)
        self._disown_pid_file()
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self.spawn(identity.command([self._bin / "postgres", "-D", self.cluster, f"--port={port}", *settings]))

    def is_ready(self) -> bool:
        """Whether it answers a query."""
        conninfo = f"host={LOOPBACK} port={self.port} user={ROLE} dbname={ROLE} connect_timeout=2"
        command: list[str | Path] = [self._bin / "psql", "--no-psqlrc", "--command=SELECT 1", conninfo]
        environment = {**os.environ, "PGPASSWORD": self.instance.secret(self.name)}
        answer = subprocess.run(command, env=environment, capture_output=True, check=False)
        return answer.returncode == 0

    @property
    def url(self) -> str:
        """The role's own database; tests create theirs beside it."""
        if not self.port:
            return ""
        return f"postgresql://{ROLE}:{self.instance.secret(self.name)}@{LOOPBACK}:{self.port}/{ROLE}"

    def _make_cluster(self, identity: Identity) -> None:
        """Create it beside its place and move it there when complete, so that an incomplete one is never used."""
        draft = self.directory / "draft"
        # What a killed process has left.
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        try:
            self._fill(draft, identity)
            draft.rename(self.cluster)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _fill(self, draft: Path, identity: Identity) -> None:
        identity.own(draft)
        # Nobody logs in as the superuser: it has no password, and the rules below admit our own only.
        # A sync would take a second, and protect only an empty cluster.
        self._run(identity, [self._bin / "initdb", "-D", draft, *_CLUSTER_OPTIONS])
        # The single-user mode needs no login, and ends before a client can connect.
        password = self.instance.secret(self.name)
        self._run(
            identity,
            [self._bin / "postgres", "--single", "-D", draft, "postgres"],
            # The second role owns nothing; `manage.py sagas grants` gives it the rights of an application.
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'\nCREATE DATABASE {ROLE} OWNER {ROLE}\n"
            f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{password}'\n"
            f"CREATE ROLE {FOLLOWER} LOGIN REPLICATION PASSWORD '{password}'\n",
        )
        (draft / "pg_hba.conf").write_text(f"host all {ROLE},{APPLICATION},{FOLLOWER} {LOOPBACK}/32 scram-sha-256\n")

    def _run(self, identity: Identity, command: Sequence[str | Path], text: str = "") -> None:
        with self.log.open("ab") as log:
            before = log.tell()
            done = subprocess.run(
                identity.command(command),
                input=text.encode(),
                stdout=log,
                stderr=log,
                cwd=self.directory,
                check=False,
            )
        if done.returncode:
            if FULL.encode() in self.log.read_bytes()[before:]:
                raise Failure(f"The disk is full: {self.directory} could not take a new cluster.")
            raise Failure(f"{command[0]} failed.\n{tail(self.log)}")

    def _disown_pid_file(self) -> None:
        """Replace the pid in the file of a killed server by one that no process has.

        If another process has the pid by now, or the server is not reaped yet, PostgreSQL takes it for a running
        server and refuses to start. Without the file it would not look for surviving children that still write to
        the cluster. So the file stays, and names the memory that they would share.
        """
        file = self.cluster / "postmaster.pid"
        if file.exists():
            _, _, rest = file.read_text().partition("\n")
            file.write_text(f"{_NOBODYS_PID}\n{rest}")


def _release(folder: Path) -> int:
    """The major release of the programs in a folder."""
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+", answer.stdout)
    return int(found.group()) if found else 0
