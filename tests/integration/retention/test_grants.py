"""Only a role that is told so may delete old runs, and even that one no others."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from uuid import UUID

import pytest
import uuid_utils.compat
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection
from pytest_django import Settings

import sagas
from sagas.models import Performer
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.carrier import Carrier
from tests.support.retention import age, keep, left_of, old_id

pytestmark = pytest.mark.usefixtures("alone")
#: Made with the cluster; see ``scripts/private_services/postgres.py``.
ROLE = "drinkgroup_app"


@pytest.fixture
def run_id(alone: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A run that ended long ago."""
    keep(settings)
    monkeypatch.setattr(uuid_utils.compat, "uuid7", old_id)
    run_id = sagas.start(Unconfirmed, Experiment())
    Carrier().run([run_id])
    age([run_id])
    return run_id


@pytest.fixture
def connected(request: pytest.FixtureRequest, run_id: UUID) -> Iterator[None]:
    """This process, connected as the application's role, which may prune if the test says so."""
    call_command("sagas", "grants", role=ROLE, prunes=request.param, apply=True, stdout=StringIO())
    owner = connection.settings_dict["USER"]
    connection.close()
    connection.settings_dict["USER"] = ROLE
    yield
    connection.close()
    connection.settings_dict["USER"] = owner
    call_command("sagas", "grants", role=ROLE, apply=True, stdout=StringIO())


@pytest.mark.parametrize("connected", [False], indirect=True)
@pytest.mark.usefixtures("connected")
def test_the_role_of_the_application_may_not_delete_runs(run_id: UUID) -> None:
    with pytest.raises(CommandError, match="permission denied"):
        call_command("sagas", "prune", stdout=StringIO())
    assert left_of([run_id]) > 0


@pytest.mark.parametrize("connected", [True], indirect=True)
@pytest.mark.usefixtures("connected")
def test_a_role_that_prunes_deletes_old_runs_and_no_others(run_id: UUID) -> None:
    # Given a run that is not old, and a worker that ended before both
    young = sagas.start(Unconfirmed, Experiment())
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO sagas_performer (worker, compensate, seen_at) VALUES ('gone', '', '2000-01-01')")
    # When
    call_command("sagas", "prune", stdout=(out := StringIO()))
    # Then
    assert out.getvalue() == "1 run(s) deleted\n"
    assert (left_of([run_id]), left_of([young]) > 0) == (0, True)
    assert not Performer.objects.filter(worker="gone").exists()
    for sql in ("DELETE FROM sagas_log", "UPDATE sagas_horizon SET before = now()"):
        with pytest.raises(IntegrityError), connection.cursor() as cursor:
            cursor.execute(sql)
    for sql in ("DELETE FROM sagas_tombstone", "DELETE FROM sagas_horizon", "TRUNCATE sagas_log"):
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(sql)
