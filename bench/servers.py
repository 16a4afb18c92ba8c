"""Private servers for one benchmark, and their figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".run" / "bench"


def start() -> None:
    """Start PostgreSQL, RabbitMQ and Redis, and set their URLs and Django's settings in the environment."""
    _services("destroy")
    _services("start")
    for line in (DIRECTORY / "services.env").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator:
            os.environ[name] = value.strip("'\"")
    os.environ["DJANGO_SETTINGS_MODULE"] = "drinkgroup.settings"
    # Inserting the confirmations of some thousand runs takes longer than a customer has.
    os.environ["CONFIRM_WITHIN_SECONDS"] = "1800"
    os.environ["LOG_LEVEL"] = "INFO"


def destroy() -> None:
    """Stop them and delete their data."""
    _services("destroy")


def _services(command: str) -> None:
    script = str(ROOT / "scripts" / "services")
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, "--ignore-environment", "--dir", str(DIRECTORY), command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"scripts/services {command} failed:\n{done.stdout}{done.stderr}")
