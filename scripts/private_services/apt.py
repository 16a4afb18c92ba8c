"""Install Debian packages without their daemons starting, and without a PostgreSQL cluster being made.

Installing `rabbitmq-server` on Debian starts a broker on the default port, for the whole machine. Only the
programs are wanted here. Debian asks `/usr/sbin/policy-rc.d` whether a package may start its daemon, so for
the time of the installation one that says no is put there.

One process installs at a time, on the whole machine: the tests start their servers twice, side by side; apt refuses
a second at once; and whoever ended first would take the other's policy away.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from private_services.console import Failure, complain, tail

POLICY = Path("/usr/sbin/policy-rc.d")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
#: Held by the one process of ours that installs. Where Debian keeps locks; it does not outlive a restart.
LOCK = Path("/run/lock/drinkgroup-apt")
#: Held by whatever `apt-get update` runs.
LISTS_LOCK = Path("/var/lib/apt/lists/lock")
#: Seconds to wait for somebody else's installation; a fresh machine begins some by itself.
PATIENCE = 600


def can_install() -> bool:
    """Tell whether this is Debian or Ubuntu, and whether we may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process of ours installs, and keep others waiting."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(packages: Sequence[str], log: Path) -> None:
    """Install packages by their Debian names, `alone`; what apt says goes to `log`.

    Raises:
        Failure: apt failed; the text has the end of the log.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    patient = ["apt-get", "-o", f"DPkg::Lock::Timeout={PATIENCE}"]
    # A configuration file that was there before its package (see no_new_cluster) must not cause a question.
    install_command = [
        *patient,
        "install",
        "-y",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
    ]
    with log.open("ab") as output, no_daemons(), no_new_cluster():
        _await_lists()
        for command in ([*patient, "update"], [*install_command, *packages]):
            if subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode:
                raise Failure(f"`{' '.join(command)}` failed.\n{tail(log)}")


def _await_lists() -> None:
    """Wait for somebody else's `apt-get update`: ours would fail at once, whatever its patience."""
    if LISTS_LOCK.exists():
        with LISTS_LOCK.open("r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)


@contextmanager
def no_daemons(policy: Path = POLICY) -> Iterator[None]:
    """Forbid packages to start daemons meanwhile; where a policy exists, it is left to decide."""
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


@contextmanager
def no_new_cluster(configuration: Path = CREATE_CLUSTER) -> Iterator[None]:
    """Keep `postgresql` from making a cluster for the machine; an existing configuration is left alone.

    The file stays: it is the package's own, and without it dpkg would find one of its files missing.
    """
    configuration.parent.mkdir(parents=True, exist_ok=True)
    try:
        with configuration.open("x") as file:
            file.write("create_main_cluster = false\n")
    except FileExistsError:
        pass
    yield


def main() -> int:
    """Install the packages named on the command line."""
    parser = argparse.ArgumentParser(description="Install Debian packages without starting their daemons.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("packages", nargs="+")
    arguments = parser.parse_args()
    try:
        with alone():
            install(arguments.packages, arguments.log)
    except Failure as failure:
        complain(str(failure))
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
