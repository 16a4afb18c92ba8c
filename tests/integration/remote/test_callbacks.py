"""Reports over HTTP: signed, or refused."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings
from standardwebhooks import Webhook

import sagas
from sagas import State, http
from sagas.models import Run
from tests.integration.engine.test_late_reports import Couriered
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Reported
from tests.support.carrier import Carrier
from tests.support.runs import assert_jar_adds_up, reason, state, story

pytestmark = pytest.mark.usefixtures("alone")

SECRET = f"whsec_{b64encode(bytes(32)).decode()}"


@pytest.fixture(autouse=True)
def secret(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": SECRET}


@pytest.fixture
def accepted(database: None) -> Iterator[UUID]:
    """A run that waits for the report of its second step."""
    jar = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=jar, available=10)
    run_id = sagas.start(Reported, Experiment(jar=jar))
    Carrier().run([run_id])
    yield run_id
    assert_jar_adds_up(jar, 10)


def post(body: Any, *, secret: str = SECRET, at: datetime | None = None, **headers: str) -> HttpResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    at = at or datetime.now(UTC)
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, text),
        **headers,
    }
    answer = Client().post("/sagas/reports/", text, content_type="application/json", headers=signed)
    assert isinstance(answer, HttpResponse)
    return answer


def done(run_id: UUID, **more: Any) -> dict[str, Any]:
    return {"run": str(run_id), "step": "two", "outcome": "done", **more}


@pytest.mark.parametrize("levels", [65, 990, 20_000])
def test_a_report_that_is_nested_too_deeply_is_refused(accepted: UUID, levels: int) -> None:
    body = json.dumps(done(accepted, result="deep")).replace('"deep"', "[" * levels + "]" * levels)
    assert post(body).status_code == 400
    assert post("[" * levels).status_code == 400


def test_a_report_moves_the_run_on_and_a_repeat_gets_the_same_answer(accepted: UUID) -> None:
    for _ in range(2):
        answer = post(done(accepted, result={"ref": 7}))
        assert (answer.status_code, json.loads(answer.content)["state"]) == (200, "EXECUTING")
    assert story(accepted).count("two.forward DONE") == 1
    assert Run.objects.get(pk=accepted).results["two"] == {"ref": 7}


def test_a_repeat_of_a_webhook_is_no_report_of_the_next_operation(database: None) -> None:
    # Given a courier that has reported its reservation, and is asked to confirm it
    run_id = sagas.start(Couriered, Experiment())
    Carrier().run([run_id])
    reserved = {"run": str(run_id), "step": "courier", "outcome": "done", "result": {"ref": 7}}
    assert post(reserved).status_code == 200
    Carrier().run([run_id])
    assert story(run_id)[-1] == "courier.confirm ACCEPTED"

    # When the very same request comes again
    assert post(reserved).status_code == 200
    Carrier().run([run_id])

    # Then it is confirmed only when that is reported
    assert state(run_id) is State.CONFIRMING
    confirmed = {"run": str(run_id), "step": "courier", "operation": "confirm", "outcome": "done"}
    assert json.loads(post(confirmed).content)["state"] == "SUCCEEDED"


def test_a_reported_rejection_undoes_the_run(accepted: UUID) -> None:
    body = {"run": str(accepted), "step": "two", "outcome": "rejected", "code": "NoCourier", "detail": "rain"}
    assert json.loads(post(body).content)["state"] == "COMPENSATING"
    Carrier().run([accepted])
    assert state(accepted) is State.FAILED


@pytest.mark.parametrize(
    ("code", "stored"),
    [("No\0Courier", "No\\0Courier"), ("\ud800", "?"), ("x" * 5000, "x" * 2000)],
    ids=["NUL", "half a surrogate pair", "long"],
)
def test_the_reason_of_a_rejection_is_made_storable(accepted: UUID, code: str, stored: str) -> None:
    body = {"run": str(accepted), "step": "two", "outcome": "rejected", "code": code, "detail": code}
    assert post(body).status_code == 200
    Carrier().run([accepted])
    assert state(accepted) is State.FAILED
    assert (reason(accepted)["code"], reason(accepted)["detail"]) == (stored, stored)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"secret": f"whsec_{b64encode(bytes(31) + b'x').decode()}"}, 401),
        ({"at": datetime.now(UTC) - timedelta(minutes=6)}, 401),
        ({"webhook-signature": "v1,nonsense"}, 401),
        ({"webhook-signature": ""}, 401),
    ],
)
def test_a_report_with_a_wrong_signature_is_refused(accepted: UUID, given: dict[str, Any], status: int) -> None:
    before = story(accepted)
    answer = post(done(accepted), **given)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert story(accepted) == before


@pytest.mark.parametrize(
    "body",
    [
        "{nonsense",
        '{"run": "x", "run": "y"}',
        "5",
        "null",
        [],
        {},
        {"run": "x", "step": "two", "outcome": "done"},
        "run-without-outcome",
    ],
    ids=str,
)
def test_an_invalid_body_is_refused(body: Any) -> None:
    if body == "run-without-outcome":
        body = {"run": str(uuid4()), "step": "two", "outcome": "perhaps"}
    assert post(body).status_code == 400


def test_an_unknown_field_is_named(accepted: UUID) -> None:
    before = story(accepted)
    for name, told in [("resutl", "'resutl'"), ("\ud800", "'\\ud800'"), ("x" * 500, "xxx")]:
        answer = post({**done(accepted), name: {"ref": 7}})
        assert answer.status_code == 400
        assert f"There is no field {told}" in json.loads(answer.content)["detail"] or told == "xxx"
    assert story(accepted) == before


def in_chunks(body: bytes, *, whole: bool = True, **environ: Any) -> HttpResponse:
    """Post a signed report in chunks, as a server hands it on that has not taken them apart."""
    now = datetime.now(UTC)
    request = RequestFactory().generic("POST", "/sagas/reports/", content_type="application/json")
    request.META.update(
        {
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input": BytesIO(body),
            "HTTP_WEBHOOK_ID": "msg_1",
            "HTTP_WEBHOOK_TIMESTAMP": str(int(now.timestamp())),
            "HTTP_WEBHOOK_SIGNATURE": Webhook(SECRET).sign("msg_1", now, body.decode()),
            **({"wsgi.input_terminated": True} if whole else {}),
        }
    )
    answer = http.report(request)
    assert isinstance(answer, HttpResponse)
    return answer


def test_a_report_in_chunks_is_accepted(accepted: UUID) -> None:
    answer = in_chunks(json.dumps(done(accepted, result={"ref": 7})).encode())
    assert (answer.status_code, json.loads(answer.content)["state"]) == (200, "EXECUTING")
    assert Run.objects.get(pk=accepted).results["two"] == {"ref": 7}


def test_a_report_in_chunks_is_bounded(accepted: UUID) -> None:
    assert in_chunks(b" " * 100_001).status_code == 413


def test_a_report_of_unknown_length_is_refused(accepted: UUID) -> None:
    assert in_chunks(json.dumps(done(accepted)).encode(), whole=False).status_code == 411
    assert "two.forward DONE" not in story(accepted)


def test_a_report_of_an_unknown_run_or_step_is_refused(accepted: UUID) -> None:
    assert post(done(uuid4())).status_code == 404
    assert post({**done(accepted), "step": "nothing"}).status_code == 404
    assert post({**done(accepted), "operation": "cancel"}).status_code == 404
    assert post({**done(accepted), "step": "four"}).status_code == 409
    assert post({**done(accepted), "operation": "compensate"}).status_code == 409
    assert post({**done(accepted), "operation": 5}).status_code == 400
    assert post("x" * 100_001).status_code == 413
    assert post(done(accepted, result="a\x00b")).status_code == 400
    refused = Client().get("/sagas/reports/")
    assert (refused.status_code, refused["Allow"], refused["Content-Type"]) == (405, "POST", "application/problem+json")
    compressed: dict[str, Any] = {"Content-Encoding": "gzip"}
    assert post(done(accepted), **compressed).status_code == 415


def test_without_a_secret_every_report_is_refused(accepted: UUID, settings: Settings) -> None:
    settings.SAGAS = {key: value for key, value in settings.SAGAS.items() if key != "CALLBACK_SECRET"}
    assert post(done(accepted)).status_code == 404
    assert "two.forward DONE" not in story(accepted)


def test_a_report_is_to_be_repeated_if_the_database_is_unavailable(accepted: UUID) -> None:
    # Given a session on a server that only reads, as after a failover
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    body = {"run": str(accepted), "step": "two", "outcome": "done"}
    # When, then
    refused = post(body)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert connection.connection is None
    # And the repeat finds one that writes
    assert post(body).status_code == 200


@pytest.mark.parametrize("secret", ["whsec_", "whsec_YQ==", "", "whsec_?"])
def test_with_an_invalid_secret_every_report_is_refused(accepted: UUID, settings: Settings, secret: str) -> None:
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": secret}
    answer = post(done(accepted))
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": SECRET}
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert "two.forward DONE" not in story(accepted)


def test_the_secret_is_rotated_without_losing_a_report(accepted: UUID, settings: Settings) -> None:
    # Given the time in which whoever reports changes over
    other = f"whsec_{b64encode(bytes(31) + b'x').decode()}"
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": [other, SECRET]}
    assert [post(done(accepted), secret=secret).status_code for secret in (SECRET, other)] == [200, 200]
