"""``manage.py sagas metrics --listen``: who has the token gets the metrics, and nobody else learns anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import StringIO

import httpx
import pytest
from django.core.management import CommandError, call_command
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from sagas.observability.exposition import Exposition
from sagas.observability.server import application
from tests.support.metrics import TOKEN, serving

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def served() -> Iterator[httpx.Client]:
    """A real process that serves, on a port that it has chosen."""
    with serving() as address, httpx.Client(base_url=f"http://{address}") as client:
        yield client


def test_who_has_the_token_gets_all_metrics(served: httpx.Client) -> None:
    answer = served.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"sagas_runs", "sagas_transitions", "sagas_step_duration_seconds", "sagas_workers"} <= names


@pytest.mark.parametrize(
    "given", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \u00e4".encode().decode("latin-1")]
)
def test_without_the_token_there_is_nothing(served: httpx.Client, given: str) -> None:
    answer = served.get("/metrics", headers=[(b"Authorization", given.encode("latin-1"))] if given else [])
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "sagas_" not in answer.text


def test_there_is_no_other_page_and_no_other_method(served: httpx.Client) -> None:
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    assert served.get("/", headers=allowed).status_code == 404
    assert served.post("/metrics", headers=allowed).status_code == 405


def test_a_client_that_says_nothing_holds_up_nobody(served: httpx.Client) -> None:
    with socket.create_connection((served.base_url.host, served.base_url.port or 0)):
        assert served.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_database_that_is_away_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    from sagas import store

    def away() -> None:
        raise OperationalError

    monkeypatch.setattr(store.measurements, "totals", away)
    told: list[str] = []
    environ = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
    body = application(TOKEN, Exposition())(environ, lambda status, _: told.append(status))
    assert told == ["503 Service Unavailable"]
    assert b"".join(body) == b"the database cannot be asked\n"


def ask(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", "metrics", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_what_is_served(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "METRICS": True}
    names = {family.name for family in text_string_to_metric_families(ask())}
    assert {"sagas_runs", "sagas_transitions"} <= names


@pytest.mark.parametrize(
    ("metrics", "arguments", "why"),
    [
        ({"METRICS": False}, [], "METRICS'] is not set"),
        ({"METRICS": True}, ["--listen"], "METRICS_TOKEN'] is not set"),
        ({"METRICS": True, "METRICS_TOKEN": TOKEN}, ["--listen", "nowhere"], "give HOST:PORT"),
        ({"METRICS": True, "METRICS_TOKEN": TOKEN}, ["--listen", "127.0.0.1:99999"], "give HOST:PORT"),
        ({"METRICS": True, "METRICS_TOKEN": TOKEN}, ["--listen", "192.0.2.1:9464"], "nothing can listen at"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(
    settings: Settings, metrics: dict[str, object], arguments: list[str], why: str
) -> None:
    settings.SAGAS = {**settings.SAGAS, **metrics}
    with pytest.raises(CommandError, match=why.replace("[", r"\[").replace("]", r"\]")):
        ask(*arguments)
