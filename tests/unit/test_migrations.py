"""The engine's migrations on what is not PostgreSQL, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import servers


def test_a_database_other_than_postgresql_is_refused_with_a_clear_error(tmp_path: Path) -> None:
    # Given a project on SQLite that has not run the system checks, as in the making of a test database
    (tmp_path / "on_sqlite.py").write_text(
        "from drinkgroup.settings import *\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(tmp_path / 'shop')!r}}}}}\n"
    )
    environment = {
        **servers.worker_environment(),
        "DJANGO_SETTINGS_MODULE": "on_sqlite",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(servers.ROOT)]),
    }
    # When
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--skip-checks", "sagas"],
        env=environment,
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # Then
    assert done.returncode == 1
    said = "NotSupportedError: the engine needs PostgreSQL, and the database 'default' is sqlite"
    assert said in done.stderr.splitlines()[-1]
