"""What a remote participant is declared as, and what its answers mean. Nothing is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import pytest

from sagas import Done, Operation, Rejected
from sagas.definition.participants import Call, NotYet, Remote, participant_name
from sagas.definition.retry import GiveUp, Retry
from sagas.errors import DefinitionError, NotSent
from sagas.remote import ClientError, HttpParticipant, UnexpectedAnswer
from sagas.remote.answers import read, read_query, wait_of
from sagas.remote.circuit import Circuit
from sagas.remote.client import _fill, _headers_of
from sagas.remote.exchange import Reply
from sagas.remote.lanes import LONGEST, Lane

CALL = Call(UUID(int=1), "debit", Operation.FORWARD, 1, {"a": 1}, trace_id="5f0c4de2-f27b-4c9b-8a0e-3f6f5f1f6a9d")


def reply(status: int, body: object = None, *, kind: str = "application/json", **headers: str) -> Reply:
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}, text)


def test_each_status_has_its_outcome() -> None:
    assert read(reply(200, {"left": 1})) == Done({"left": 1})
    assert read(reply(204)) == Done()
    assert read(reply(201, b"<p>fine</p>", kind="text/html")) == Done()
    no = read(reply(409, {"code": "SoldOut", "detail": "none left"}))
    assert isinstance(no, Rejected)
    assert (no.code, no.detail) == ("SoldOut", "none left")
    assert read(reply(425, retry_after="3")) == NotYet(3)
    for status in (302, 400, 404, 422, 429, 500, 503):
        with pytest.raises(UnexpectedAnswer, match=f"HTTP {status}"):
            read(reply(status))


@pytest.mark.parametrize("body", [None, [], {"code": 7, "detail": []}, "no"])
def test_a_rejection_needs_no_reason(body: Any) -> None:
    no = read(reply(409, body))
    assert isinstance(no, Rejected)
    assert (no.code, no.detail) == ("Rejected", "The remote participant says no.")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_an_invalid_request_has_an_error_class_of_its_own(status: int) -> None:
    with pytest.raises(ClientError, match=f"HTTP {status}"):
        read(reply(status))
    assert isinstance(Retry(never=(ClientError,)).decide(1, ClientError("no", status)), GiveUp)


@pytest.mark.parametrize("status", [302, 408, 421, 423, 429, 500, 502, 503])
def test_a_temporary_failure_is_no_error_of_the_request(status: int) -> None:
    with pytest.raises(UnexpectedAnswer) as raised:
        read(reply(status))
    assert not isinstance(raised.value, ClientError)


def test_a_query_may_be_refused() -> None:
    with pytest.raises(ClientError, match="HTTP 401 to a query"):
        read_query(reply(401))


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": -1},
        {"within": 0},
        {"within": float("nan")},
        {"pause": 0},
        {"rate": 0},
        {"rate": 1.1},
        {"minimum": 0},
        {"operations": 4},
        {"faults": 101},
        {"minimum": 101},
    ],
    ids=str,
)
def test_an_invalid_circuit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Circuit"):
        Circuit(**wrong)


def test_problem_details_are_understood() -> None:
    no = read(reply(409, {"title": "Sold out", "code": "x" * 100}, kind="application/problem+json; charset=utf-8"))
    assert isinstance(no, Rejected)
    assert (no.code, no.detail) == ("x" * 64, "Sold out")


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b"[" * 65 + b"]" * 65, b"[" * 990 + b"]" * 990, b"NaN"]
)
def test_a_body_declared_as_json_must_be_json(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="no JSON"):
        read(reply(200, body))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("", 1), ("7", 7), ("0", 0.1), ("99999999999999999999", 60), ("-3", 1), ("soon", 1), ("1e9", 1), ("²", 1)],
)
def test_retry_after_is_bounded(said: str, seconds: float) -> None:
    assert wait_of(reply(425, retry_after=said)) == seconds


def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < wait_of(reply(425, retry_after=at)) <= 30


def test_a_query_has_the_expected_request_and_outcome() -> None:
    assert read_query(reply(200, {"outcome": "done", "result": 3})) == Done(3)
    assert isinstance(read_query(reply(200, {"outcome": "rejected"})), Rejected)
    assert read_query(reply(200, {"outcome": "pending"}, retry_after="2")) == NotYet(2)
    assert read_query(reply(404)) is None
    for bad in (reply(200, {}), reply(200, []), reply(500)):
        with pytest.raises(UnexpectedAnswer):
            read_query(bad)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "no spaces"},
        {"base_url": "points.example"},
        {"base_url": "ftp://points.example"},
        {"base_url": "http://user:secret@points.example"},
        {"base_url": "http://points.example?x=1"},
        {"base_url": "http://points.example:secret"},
        {"base_url": "http://points.example:99999"},
        {"base_url": "http://[::1"},
        {"query": "operations"},
        {"timeout": float("inf")},
        {"timeout": 0},
        {"connect_timeout": float("nan")},
        {"concurrency": 0},
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as refused:
        HttpParticipant(**{"name": "points", "base_url": "http://points.example", **wrong})
    assert "secret" not in str(refused.value)


def test_a_path_must_begin_with_a_slash() -> None:
    with pytest.raises(DefinitionError):
        HttpParticipant("points", "http://points.example").post("debits")


def test_operations_are_remote_and_named() -> None:
    points = HttpParticipant("points", "http://points.example", headers={"Authorization": "secret"})
    debit = points.post("/debits")
    assert isinstance(debit, Remote)
    assert participant_name(debit) == "points: POST /debits"
    assert repr(points) == "HttpParticipant('points')"
    held = points.tcc("/held")
    assert [participant_name(p) for p in (held.try_, held.confirm, held.cancel)] == [
        "points: POST /held",
        "points: PUT /held",
        "points: DELETE /held",
    ]


def test_a_lease_is_longer_than_a_call_may_take() -> None:
    assert HttpParticipant("p", "http://p.example", timeout=2, connect_timeout=1).lease == 3 + 5
    assert HttpParticipant("p", "http://p.example", timeout=2, connect_timeout=1, query="/o").lease == 9 + 5


def test_headers_and_paths_identify_the_operation() -> None:
    headers = _headers_of(CALL)
    assert headers["Idempotency-Key"] == f"{UUID(int=1)}:debit:forward"
    version, trace, span, flags = headers["traceparent"].split("-")
    # Nobody has decided to record this trace.
    assert (version, trace, flags) == ("00", "5f0c4de2f27b4c9b8a0e3f6f5f1f6a9d", "00")
    assert len(span) == 16
    assert headers["baggage"] == f"sagas.run.id={UUID(int=1)}"
    assert _fill("/debits/{tx}/{branch}/{other}", CALL) == f"/debits/{UUID(int=1)}/debit/{{other}}"


@pytest.mark.parametrize("body", [lambda _: object(), lambda _: {"x": float("nan")}, lambda _: 1 / 0])
def test_a_body_that_cannot_be_built_was_not_sent(body: Any) -> None:
    points = HttpParticipant("points", "http://127.0.0.1:1", circuit=None)
    with pytest.raises(NotSent, match="no body"):
        points.post("/debits", body).call(CALL, repeated=False)


@pytest.mark.parametrize("address", ["http://127.0.0.1:port", "http://[::1", "points.example", ""])
def test_an_invalid_address_was_not_called(address: str) -> None:
    points = HttpParticipant("points", lambda: address, circuit=Circuit(faults=0))
    with pytest.raises(NotSent):
        points.post("/debits").call(CALL, repeated=False)


def test_runs_without_a_free_call_are_spread_over_time() -> None:
    lane = Lane("points", 4)
    delays = lane.book(1000)
    assert delays == sorted(delays)
    assert delays[-1] > delays[0]
    assert all(0.1 <= delay <= LONGEST for delay in lane.book(1_000_000))
