"""A database whose tables are of an older or a newer version, or of a migration that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from sagas.checks import check_migrations
from sagas.requirements import migrations


@pytest.fixture
def undone(database: None) -> Iterator[None]:
    """What the test writes is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.usefixtures("undone")
def test_the_tables_of_this_code_are_fine() -> None:
    assert migrations.missing() == []
    assert check_migrations(["default"]) == []


@pytest.mark.usefixtures("undone")
def test_no_worker_starts_while_migrations_are_missing() -> None:
    # Given a deploy that has forgotten to migrate
    execute("DELETE FROM django_migrations WHERE app = 'sagas' AND name > '0020'")
    # Then the start of workers says what to do
    (missing,) = migrations.missing()
    assert missing.is_error
    assert "manage.py migrate" in missing.remedy
    # And the check, which migrate runs first, lets it migrate
    assert check_migrations(["default"]) == []


@pytest.mark.usefixtures("undone")
def test_a_downgrade_is_named_with_the_way_back() -> None:
    # Given a database that a newer version has migrated
    execute("INSERT INTO django_migrations (app, name, applied) VALUES ('sagas', '0999_of_tomorrow', now())")
    (warning,) = check_migrations(["default"])
    assert warning.id == "sagas.W031"
    assert "0999_of_tomorrow" in warning.msg
    assert warning.hint is not None
    assert "manage.py migrate sagas 00" in warning.hint
    # And older code may still work beside newer, as in a rolling deploy
    assert migrations.missing() == []


def test_an_index_that_an_interrupted_migration_has_left_is_named(database: None) -> None:
    # Given an index that could not be finished, for two rows are alike
    execute("CREATE TABLE sagas_of_the_test AS SELECT 1 AS number FROM generate_series(1, 2)")
    try:
        with pytest.raises(IntegrityError):
            execute("CREATE UNIQUE INDEX CONCURRENTLY sagas_index_of_the_test ON sagas_of_the_test (number)")
        (warning,) = check_migrations(["default"])
    finally:
        execute("DROP TABLE sagas_of_the_test")
    # Then
    assert warning.id == "sagas.W032"
    assert "sagas_index_of_the_test" in warning.msg


def test_a_project_with_migrations_of_its_own_is_left_alone(database: None, settings: Settings) -> None:
    settings.MIGRATION_MODULES = {"sagas": "shop.migrations_of_sagas"}
    assert migrations.missing() == []
