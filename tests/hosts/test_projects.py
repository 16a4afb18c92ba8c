"""Django projects of all kinds: bookings end as they should, or a check says why they cannot."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.hosts.host import WELL, Host, database, execute, host, new_database, played
from tests.support.databases import drop_database

_PEOPLE = {
    "people/__init__.py": "",
    "people/models.py": """
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

class Person(AbstractBaseUser):
    badge = models.CharField(primary_key=True, max_length=12)
    USERNAME_FIELD = "badge"
""",
}
ATOMIC = "DATABASES['default']['ATOMIC_REQUESTS'] = True\n"
NO_TZ = "USE_TZ = False\nTIME_ZONE = 'Asia/Shanghai'\n"
PEOPLE = "INSTALLED_APPS += ['people']\nAUTH_USER_MODEL = 'people.Person'\n"
SEARCH_PATH = "DATABASES['default']['OPTIONS']['options'] = '-c search_path=shop,public'\n"
#: Reads go to a replica that lags behind for ever.
ROUTER = """
class Router:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, *args, **hints):
        return True

    def allow_migrate(self, db, *args, **hints):
        return db == "default"
"""


def add(project: Host, settings: str) -> None:
    with (project.folder / "host/settings.py").open("a") as file:
        file.write(settings)


def add_replica(project: Host) -> str:
    """Have reads go to a copy of the migrated database that gets nothing new; return its name."""
    name = f"{urlsplit(project.database_url).path[1:]}_replica"
    url = urlunsplit(urlsplit(project.database_url)._replace(path=f"/{name}"))
    execute(f"CREATE DATABASE {name} TEMPLATE {urlsplit(project.database_url).path[1:]}", _server(project))
    (project.folder / "host/routers.py").write_text(ROUTER)
    add(project, f"DATABASES['replica'] = {database(url)!r}\nDATABASE_ROUTERS = ['host.routers.Router']\n")
    return name


def _server(project: Host) -> str:
    return urlunsplit(urlsplit(project.database_url)._replace(path="/postgres"))


def test_a_project_of_all_these_kinds_at_once_books_and_undoes(tmp_path: Path) -> None:
    with host(tmp_path, ATOMIC + NO_TZ + PEOPLE + SEARCH_PATH, files=_PEOPLE) as project:
        project.sql("CREATE SCHEMA shop")
        project.migrate()
        replica = add_replica(project)
        try:
            with project.working():
                assert project.play() == WELL
        finally:
            drop_database(lambda sql: execute(sql, _server(project)), replica)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("settings", [ATOMIC, NO_TZ, PEOPLE], ids=["ATOMIC_REQUESTS", "USE_TZ=False", "a user model"])
def test_a_project_with_this_setting_books_and_undoes(tmp_path: Path, settings: str) -> None:
    with host(tmp_path, settings, files=_PEOPLE) as project:
        assert played(project) == WELL


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_schema_for_each_tenant_is_a_project_for_each_tenant(tmp_path: Path) -> None:
    # Given the engine's tables in the schemas of two tenants, each with workers that have its search_path
    with host(tmp_path, SEARCH_PATH) as project:
        project.sql("CREATE SCHEMA shop; CREATE SCHEMA bar")
        project.migrate()
        other = (tmp_path / "host/settings.py").read_text().replace("search_path=shop,public", "search_path=bar,public")
        (tmp_path / "host/other.py").write_text(other)
        bar = Host(tmp_path, project.database_url, settings="host.other")
        bar.migrate()
        # When both play
        with project.working(), bar.working():
            assert project.play() == WELL
            assert bar.play() == WELL
        # Then each has its own runs
        assert project.sql("SELECT count(*) FROM shop.sagas_run") == [(3,)]
        assert project.sql("SELECT count(*) FROM bar.sagas_run") == [(3,)]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_another_isolation_level_is_refused_with_its_cure(tmp_path: Path, level: str) -> None:
    # Given a project that asks for it with each transaction
    name = level.upper().replace(" ", "_")
    asks = "from django.db.backends.postgresql.psycopg_any import IsolationLevel\n"
    asks += f"DATABASES['default']['OPTIONS']['isolation_level'] = IsolationLevel.{name}\n"
    with host(tmp_path, asks) as project:
        said = project.check()
        assert "sagas.E020" in said
        assert "Leave isolation_level out" in said


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_server_whose_default_is_serializable_is_used_at_read_committed(tmp_path: Path) -> None:
    with host(tmp_path) as project:
        name = urlsplit(project.database_url).path[1:]
        project.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        assert played(project) == WELL


@pytest.mark.slow
def test_tables_of_the_engine_in_another_database_are_refused(tmp_path: Path) -> None:
    # Given a router that keeps the engine's tables elsewhere
    router = ROUTER.replace('return "default"', 'return "other"').replace('return "replica"', 'return "other"')
    with host(tmp_path, files={"host/routers.py": router}) as project, new_database() as url:
        add(project, f"DATABASES['other'] = {database(url)!r}\nDATABASE_ROUTERS = ['host.routers.Router']\n")
        said = project.check()
        assert "sagas.E033" in said
        assert "'other'" in said
