"""The migrations of the engine: one makes a new database, the chain brings an old one there, and none holds it up."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from private_services import programs
from pytest_django import DjangoDbBlocker

from tests.package.lock_rules import HOT, broken
from tests.support.databases import drop_database
from tests.support.driver import psycopg

APP = "sagas"
SQUASHED = "0001_squashed_0022_performer_seen_at"
#: The last one that it replaces.
LAST = "0022_performer_seen_at"
#: Rules that were broken before the first release, when nobody had a large table.
BEFORE_THE_FIRST_RELEASE = {
    "0004_branches": ["sagas_run: an index is built without CONCURRENTLY"],
}


@contextmanager
def empty_database(blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """Make a database. It is Django's default meanwhile, for what is recorded of migrations goes there by alias."""
    name = f"migrations_{secrets.token_hex(4)}"
    outside = psycopg.connect(os.environ["DATABASE_URL"])
    outside.autocommit = True
    default = connections["default"]
    with outside.cursor() as cursor, blocker.unblock():
        cursor.execute(f"CREATE DATABASE {name}")
        connection = type(default)({**default.settings_dict, "NAME": name}, alias="default")
        connections["default"] = connection
        try:
            yield connection
        finally:
            connections["default"] = default
            connection.close()
            drop_database(cursor.execute, name)
            outside.close()


@pytest.fixture
def new(django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    with empty_database(django_db_blocker) as connection:
        yield connection


def migrate(connection: BaseDatabaseWrapper) -> None:
    """Migrate as ``manage.py migrate`` does."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes(APP))
    executor.check_replacements()


def migrate_by_the_chain(connection: BaseDatabaseWrapper, name: str | None) -> None:
    """Migrate as before the first release: to one of the migrations that are replaced now, or to none."""
    executor = MigrationExecutor(connection)
    executor.loader = MigrationLoader(connection, replace_migrations=False)
    executor.migrate([(APP, name)])
    # Django has seen that all is applied, as no version of before would have.
    executor.recorder.record_unapplied(APP, SQUASHED)


def schema(connection: BaseDatabaseWrapper) -> str:
    """What pg_dump writes of the schema, without what differs each time."""
    name = connection.settings_dict["NAME"]
    url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    command = [str(programs.find("pg_dump")), "--schema-only", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def applied(connection: BaseDatabaseWrapper) -> set[str]:
    return {name for app, name in MigrationLoader(connection).applied_migrations if app == APP}


def later() -> list[str]:
    """The migrations that came after the first release."""
    names = MigrationLoader(None).disk_migrations
    return sorted(name for app, name in names if app == APP and name > LAST)


@pytest.mark.parametrize("vendor", ["sqlite", "mysql", "oracle"])
@pytest.mark.parametrize("name", [SQUASHED, "0001_initial"])
def test_another_database_is_refused_before_any_table_is_made(name: str, vendor: str) -> None:
    migration = import_module(f"sagas.migrations.{name}")
    first, *_ = migration.Migration.operations
    assert first.code is migration.refuse_other_databases
    editor = SimpleNamespace(connection=SimpleNamespace(vendor=vendor, alias="default"))
    with pytest.raises(NotSupportedError, match=f"the engine needs PostgreSQL, and the database 'default' is {vendor}"):
        first.code(None, editor)


@pytest.fixture(scope="module")
def expected(django_db_blocker: DjangoDbBlocker) -> str:
    """The schema of a new database."""
    with empty_database(django_db_blocker) as connection:
        migrate(connection)
        assert SQUASHED in applied(connection)
        return schema(connection)


@pytest.mark.parametrize("stands", ["0001_initial", "0016_steps", "0018_effect_once", LAST])
def test_a_database_of_before_and_a_new_one_have_the_same_schema(
    new: BaseDatabaseWrapper, expected: str, stands: str
) -> None:
    # Given a database that was migrated one by one, as far as this
    migrate_by_the_chain(new, stands)
    # When
    migrate(new)
    # Then
    assert schema(new) == expected
    assert {SQUASHED, LAST, *later()} <= applied(new)


def is_empty(connection: BaseDatabaseWrapper) -> bool:
    """Whether nothing of the engine is there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'sagas%' "
            "UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE 'sagas%'"
        )
        return not cursor.fetchall()


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "of before"])
def test_all_migrations_can_be_reversed_and_leave_nothing_behind(
    new: BaseDatabaseWrapper, expected: str, *, is_new: bool
) -> None:
    # Given
    if not is_new:
        migrate_by_the_chain(new, LAST)
    migrate(new)
    # When
    MigrationExecutor(new).migrate([(APP, None)])
    # Then
    assert is_empty(new)
    assert applied(new) == set()
    migrate(new)
    assert schema(new) == expected


def test_the_chain_of_before_can_be_reversed(new: BaseDatabaseWrapper) -> None:
    migrate_by_the_chain(new, LAST)
    assert not is_empty(new)
    migrate_by_the_chain(new, None)
    assert is_empty(new)


def test_no_migration_holds_a_lock_for_as_long_as_a_table_is_large(new: BaseDatabaseWrapper) -> None:
    # Given the SQL that `manage.py sqlmigrate` shows of each
    loader = MigrationLoader(new, replace_migrations=False)
    found = {}
    for key in sorted(loader.disk_migrations):
        if key[0] != APP:
            continue
        migration = loader.get_migration(*key)
        statements = loader.collect_sql([(migration, False)])
        if said := list(broken(statements, atomic=migration.atomic)):
            found[key[1]] = said
    # Then
    assert found == BEFORE_THE_FIRST_RELEASE


def files(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """The file in which PostgreSQL keeps each large table: another one after a rewrite."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, relfilenode FROM pg_class WHERE relname = ANY(%s)", [sorted(HOT)])
        return dict(cursor.fetchall())


def test_no_migration_rewrites_a_table_that_is_full(new: BaseDatabaseWrapper) -> None:
    # Given a database of before, with runs and their log
    migrate_by_the_chain(new, "0016_steps")
    with new.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_run (id, saga, version, state, cursor, attempt, claims, business_key, request, results, "
            "trace_id, finished_at) SELECT gen_random_uuid(), 'a.B', 1, 'SUCCEEDED', 4, 0, 0, '', '{}', '{}', "
            "gen_random_uuid(), now() FROM generate_series(1, 500)"
        )
        cursor.execute(
            "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, duration_us, worker, trace_id, "
            "compensate) SELECT id, 'one', 'forward', 'DONE', 1, 9, 'w', trace_id, '' FROM sagas_run"
        )
    before = files(new)
    # When
    migrate(new)
    # Then
    assert {name: file for name, file in files(new).items() if name in before} == before
    with new.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sagas_log WHERE worker = 'w' AND performer_id IS NULL")
        assert cursor.fetchone() == (500,)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ('CREATE INDEX "sagas_run_x" ON "sagas_run" ("saga");', "without CONCURRENTLY"),
        ("CREATE UNIQUE INDEX x ON sagas_log (id)", "without CONCURRENTLY"),
        ('ALTER TABLE "sagas_run" ADD CONSTRAINT "x" CHECK (claims < 9);', "NOT VALID is missing"),
        ('ALTER TABLE "sagas_log" ADD CONSTRAINT "x" FOREIGN KEY ("a") REFERENCES "b" ("id");', "NOT VALID is missing"),
        ('ALTER TABLE "sagas_run" ADD CONSTRAINT "x" UNIQUE ("saga");', "USING INDEX"),
        ("ALTER TABLE sagas_log ADD PRIMARY KEY (id)", "USING INDEX"),
        ('ALTER TABLE "sagas_run" ALTER COLUMN "version" TYPE integer;', "changes its type"),
        ('ALTER TABLE "sagas_run" ALTER COLUMN "reason" SET NOT NULL;', "SET NOT NULL"),
        ('ALTER TABLE "sagas_run" ADD COLUMN "at" timestamptz DEFAULT clock_timestamp() NOT NULL;', "rewritten"),
        ('ALTER TABLE "sagas_lock" ADD COLUMN "n" bigint GENERATED BY DEFAULT AS IDENTITY;', "rewritten"),
        ("UPDATE sagas_run SET claims = 0", "rows are changed"),
        ("-- Old ones.\nDELETE FROM sagas_log WHERE id < 9", "rows are changed"),
        ("LOCK TABLE sagas_run", "locks the table"),
        ("CREATE INDEX CONCURRENTLY x ON sagas_run (saga)", "atomic = False is missing"),
    ],
)
def test_what_would_hold_up_orders_is_found(statement: str, what: str) -> None:
    (said,) = broken([statement], atomic=True)
    assert what in said


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE sagas_run ADD CONSTRAINT x CHECK (claims < 9) NOT VALID",
        'ALTER TABLE "sagas_run" ADD COLUMN "fork" bigint DEFAULT 0 NOT NULL;',
        'ALTER TABLE "sagas_run" ADD COLUMN "seen_at" timestamptz DEFAULT (STATEMENT_TIMESTAMP()) NOT NULL;',
        'ALTER TABLE "sagas_run" ALTER COLUMN "reason" DROP NOT NULL;',
        'CREATE INDEX "sagas_worker_x" ON "sagas_worker" ("beat_at");',
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\nDELETE FROM sagas_lock; END $$",
    ],
)
def test_what_takes_a_lock_for_a_moment_is_allowed(statement: str) -> None:
    assert list(broken([statement], atomic=True)) == []


def test_what_is_validated_in_the_same_transaction_holds_the_lock() -> None:
    statements = [
        "ALTER TABLE sagas_run ADD CONSTRAINT x CHECK (claims < 9) NOT VALID",
        "ALTER TABLE sagas_run VALIDATE CONSTRAINT x",
    ]
    assert list(broken(statements, atomic=False)) == []
    (said,) = broken(statements, atomic=True)
    assert "validated in the transaction" in said
    # A table that the migration makes is empty.
    made = ['CREATE TABLE "sagas_run" ("id" uuid)', 'CREATE INDEX "x" ON "sagas_run" ("id")']
    assert list(broken(made, atomic=True)) == []
