"""How a step in another database is declared, checked, and kept out of the others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.core.management import call_command
from pytest_django import Settings

from sagas import Saga, Step, Tcc, runtime
from sagas.checks import check_other_databases
from sagas.decisions.plan import Place, place_to_undo
from sagas.definition.participants import Location, Phase
from sagas.errors import DefinitionError
from sagas.remote import HttpParticipant
from sagas.routers import BarrierRouter
from sagas.states import State

POSTGRESQL = "django.db.backends.postgresql"
LIMITS = {"connect_timeout": 5, "options": "-c lock_timeout=5s -c statement_timeout=10s"}


def work(call: object) -> None:
    """A participant."""


class Resource:
    """A resource."""

    try_ = confirm = cancel = staticmethod(work)


@pytest.fixture
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry of its own."""
    monkeypatch.setattr(runtime.declared, "definitions", {})
    yield


def declare(**what: Any) -> type[Saga[dict[str, Any]]]:
    class Trip(Saga[dict[str, Any]]):
        near = Step(work, compensate=work, queue="orders")
        far = Step(work, compensate=work, queue="orders", **what)
        last = Step(work, compensate=work, queue="orders")

    return Trip


# -- Declared -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_registry")
def test_a_step_with_a_database_is_located_in_another_database() -> None:
    near, far, _ = declare(database="loyalty").definition.steps
    assert (near.database, near.location) == ("", Location.LOCAL)
    assert (far.database, far.location) == ("loyalty", Location.OTHER_DATABASE)
    tcc = Tcc[Any](Resource(), queue="orders", database="loyalty")
    assert (tcc.database, tcc.location, set(tcc.actions)) == ("loyalty", Location.OTHER_DATABASE, set(Phase))


def test_the_engines_own_database_is_left_out() -> None:
    with pytest.raises(DefinitionError, match=r"'default'.*leave it out"):
        Step(work, queue="orders", database="default")


def test_a_pivot_cannot_be_in_another_database() -> None:
    with pytest.raises(DefinitionError, match="a pivot must be in the engine's own database"):
        Step(work, queue="orders", pivot=True, database="loyalty")


def test_a_remote_participant_has_no_database() -> None:
    there = HttpParticipant("points", "https://points.example").post("/forward")
    with pytest.raises(DefinitionError, match="is in another system, not in a database"):
        Step(there, queue="orders", database="loyalty")


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(("database", "first_undone"), [("loyalty", 1), ("", 0)])
def test_a_run_that_fails_at_a_step_in_another_database_undoes_that_step_too(database: str, first_undone: int) -> None:
    definition = declare(database=database).definition
    after, _ = place_to_undo(definition, Place(State.EXECUTING, 1))
    assert after == (Place(State.COMPENSATING, 1, 1 << 1) if first_undone else Place(State.COMPENSATING, 1))
    # One that has not begun has nothing anywhere
    assert place_to_undo(definition, Place(State.PENDING, 0))[0] == Place(State.COMPENSATING, 0)


# -- Checked --------------------------------------------------------------------------------------------------


def found(settings: Settings, **databases: dict[str, Any]) -> list[CheckMessage]:
    with warnings.catch_warnings():
        # Django warns whoever overrides it; only the check reads it here.
        warnings.filterwarnings("ignore", "Overriding setting DATABASES", UserWarning)
        settings.DATABASES = {"default": {"ENGINE": POSTGRESQL}, **databases}
    return check_other_databases()


@pytest.mark.usefixtures("_registry")
def test_a_valid_configuration_passes_the_checks(settings: Settings) -> None:
    declare(database="far")
    assert found(settings, far={"ENGINE": POSTGRESQL, "OPTIONS": LIMITS}) == []


@pytest.mark.usefixtures("_registry")
def test_e007_reports_an_unknown_database(settings: Settings) -> None:
    declare(database="far")
    (problem,) = found(settings, loyalty={"ENGINE": POSTGRESQL, "OPTIONS": LIMITS})
    assert problem.id == "sagas.E007"
    assert "Trip.far is in the database 'far', which DATABASES does not have." in problem.msg
    assert problem.hint == "Add 'far' to DATABASES, or give the step one of: loyalty."


@pytest.mark.usefixtures("_registry")
def test_e008_reports_a_database_that_is_not_postgresql(settings: Settings) -> None:
    declare(database="far")
    (problem,) = found(settings, far={"ENGINE": "django.db.backends.sqlite3"})
    assert problem.id == "sagas.E008"


@pytest.mark.usefixtures("_registry")
def test_w004_reports_a_database_without_timeouts(settings: Settings) -> None:
    declare(database="far")
    (problem,) = found(settings, far={"ENGINE": POSTGRESQL, "OPTIONS": {"options": "-c lock_timeout=5s"}})
    assert isinstance(problem, CheckWarning)
    assert problem.id == "sagas.W004"
    assert "has no connect_timeout and no statement_timeout" in problem.msg


# -- Routed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("database", "app", "model", "allowed"),
    [
        ("default", "sagas", "run", True),
        ("default", "sagas", None, True),
        ("default", "sagas", "barrier", False),
        ("far", "sagas", "barrier", True),
        ("far", "sagas", "run", False),
        ("far", "sagas", None, False),
        ("default", "orders", "order", None),
        ("far", "orders", "order", None),
    ],
)
def test_each_table_is_created_in_its_database(
    database: str, app: str, model: str | None, allowed: bool | None
) -> None:
    assert BarrierRouter().allow_migrate(database, app, model_name=model) is allowed


@pytest.mark.usefixtures("_registry")
def test_the_barrier_command_reports_that_no_step_uses_another_database() -> None:
    # Given
    declare()
    # When
    call_command("sagas", "barrier", "--older-than", "30", stdout=(out := StringIO()))
    # Then
    assert out.getvalue() == "no step is in another database: there are no barrier rows\n"
