"""A run that is started by the caller's own statement is like one that ``sagas.start`` starts."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction

import sagas
from sagas.errors import InvalidArgument, InvalidRequest
from sagas.models import Log, Outbox, Run
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Keyed, Lab, Telling
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def jar() -> str:
    return f"jar-{uuid4().hex[:8]}"


def execute(start: sagas.api.StartSql, before: str, after: str, **params: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {before}{start.ctes} {after}", {**start.params, **params})
        return int(cursor.rowcount)


INTO_JAR = "INSERT INTO lab_jar (name, available, held, sold) SELECT %(jar)s, 1, 0, 0 FROM sagas_started"


def without_identity(model: type[Run | Log | Outbox], run_id: UUID) -> list[dict[str, Any]]:
    own = {"id", "run_id", "trace_id", "created_at", "due_at", "at", "occurred_at"}
    which = {"id": run_id} if model is Run else {"run_id": run_id}
    return [{k: v for k, v in row.items() if k not in own} for row in model._default_manager.filter(**which).values()]


@pytest.mark.parametrize("saga", [Lab, Telling])
def test_its_rows_are_those_of_a_start(saga: type[sagas.Saga[Any]], jar: str) -> None:
    # When one run is started, and another one by SQL
    plain = sagas.start(saga, Experiment(), business_key="k")
    start = sagas.start_sql(saga, Experiment(), business_key="k")
    assert execute(start, "", INTO_JAR, jar=jar) == 1
    # Then their rows are the same, but for ids and times
    for model in (Run, Log, Outbox):
        assert without_identity(model, start.run_id) == without_identity(model, plain)
    assert Jar.objects.filter(name=jar).exists()
    # And it ends as the other
    Carrier().run([plain, start.run_id])
    assert state(start.run_id) == state(plain)


def test_without_a_row_of_its_source_nothing_is_started(jar: str) -> None:
    start = sagas.start_sql(Lab, Experiment(), source="FROM wanted WHERE yes")
    assert execute(start, "wanted AS (SELECT %(yes)s AS yes), ", INTO_JAR, yes=False, jar=jar) == 0
    assert not Run.objects.filter(pk=start.run_id).exists()
    assert not Log.objects.filter(run_id=start.run_id).exists()
    assert not Jar.objects.filter(name=jar).exists()


def test_an_error_of_the_callers_part_starts_nothing(jar: str) -> None:
    Jar.objects.create(name=jar, available=1)
    start = sagas.start_sql(Lab, Experiment())
    with pytest.raises(IntegrityError):
        execute(start, "", INTO_JAR, jar=jar)
    assert not Run.objects.filter(pk=start.run_id).exists()
    assert not Log.objects.filter(run_id=start.run_id).exists()


def test_a_saga_that_locks_business_keys_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"lock business keys.*sagas\.start"):
        sagas.start_sql(Keyed, Experiment(keys=("k",)))


def test_a_request_is_checked_as_at_a_start() -> None:
    with pytest.raises(InvalidRequest):
        sagas.start_sql(Lab, {"jar": 1})
    with pytest.raises(InvalidRequest):
        sagas.start_sql(Lab, Experiment(), business_key="k" * 65)


def test_a_worker_is_woken_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    kicks: list[bool] = []
    monkeypatch.setattr(sagas.api, "kick", lambda: kicks.append(connection.in_atomic_block))
    start = sagas.start_sql(Lab, Experiment())
    with transaction.atomic():
        start.announce()
        assert kicks == []
    assert kicks == [False]
