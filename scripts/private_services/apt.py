"""Install Debian packages without their daemons starting, and without a PostgreSQL cluster being made.

Installing `rabbitmq-server` on Debian starts a broker on the default port, for the whole machine. Only the
programs are wanted here. Debian asks `/usr/sbin/policy-rc.d` whether a package may start its daemon, so for
the time of the installation one that says no is put there.
"""

from __future__ import annotations

import argparse
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


def can_install() -> bool:
    """Tell whether this is Debian or Ubuntu, and whether we may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str], log: Path) -> None:
    """Install packages by their Debian names; what apt says goes to `log`.

    Raises:
        Failure: apt failed; the text has the end of the log.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A configuration file that was there before its package (see no_new_cluster) must not cause a question.
    install_command = [
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
    ]
    with log.open("ab") as output, no_daemons(), no_new_cluster():
        for command in (["apt-get", "update"], [*install_command, *packages]):
            if subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode:
                raise Failure(f"`{' '.join(command)}` failed.\n{tail(log)}")


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
        install(arguments.packages, arguments.log)
    except Failure as failure:
        complain(str(failure))
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
