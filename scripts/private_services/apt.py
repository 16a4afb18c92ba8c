"""Install Debian packages without their daemons starting, and without a PostgreSQL cluster being made.

Installing `rabbitmq-server` on Debian starts a broker on the default port, for the whole machine. Only the
programs are needed here. Debian runs `/usr/sbin/policy-rc.d` to decide whether a package may start its daemon, so a
script that refuses is put there during the installation.

One process installs at a time on the whole machine: tests start their servers twice in parallel, apt refuses a second
installation, and the first one to end would remove the other's policy.
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
#: The lock of the one process of ours that installs, in Debian's folder for locks, which is emptied at a restart.
LOCK = Path("/run/lock/drinkgroup-apt")
#: The lock of a running `apt-get update`.
LISTS_LOCK = Path("/var/lib/apt/lists/lock")
#: Seconds to wait for another installation; a fresh machine starts some automatically.
PATIENCE = 600


def can_install() -> bool:
    """Whether this is Debian or Ubuntu, and we may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of installations; wait for another process of ours."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(packages: Sequence[str], log: Path) -> None:
    """Install packages by their Debian names, `alone`; apt's output goes to `log`.

    Raises:
        Failure: apt failed; the text has the end of the log.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    patient = ["apt-get", "-o", f"DPkg::Lock::Timeout={PATIENCE}"]
    # A configuration file that exists before its package (see no_new_cluster) must not cause a question.
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
    """Wait for another `apt-get update`: ours would fail at once, whatever its time-out."""
    if LISTS_LOCK.exists():
        with LISTS_LOCK.open("r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)


@contextmanager
def no_daemons(policy: Path = POLICY) -> Iterator[None]:
    """Forbid packages to start daemons meanwhile, unless the machine has a policy of its own."""
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
    """Keep `postgresql` from creating a cluster for the machine; an existing configuration is not changed.

    The file stays, because it belongs to the package, and dpkg would miss it.
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
