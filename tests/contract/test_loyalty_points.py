"""The five rules of remote participants, request by request, against the real process in Node.js."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import servers
from tests.support.points import Points, needs_node

pytestmark = needs_node

CONTRACT = servers.ROOT / "docs" / "reference" / "remote-participant.openapi.yaml"


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Points]:
    points = Points(tmp_path_factory.mktemp("points"))
    points.start()
    yield points
    points.stop()


@pytest.fixture
def account(points: Points) -> str:
    name = f"account-{uuid4().hex[:8]}"
    points.open(name, 100)
    return name


class Branch:
    """One branch of a global transaction, as a caller asks for its operations."""

    METHODS = {
        "forward": ("POST", "/debits"),
        "compensate": ("DELETE", "/debits"),
        "try": ("POST", "/reservations"),
        "confirm": ("PUT", "/reservations"),
        "cancel": ("DELETE", "/reservations"),
    }

    def __init__(self, points: Points, account: str, amount: int = 10) -> None:
        self.points = points
        self.wanted = {"account": account, "points": amount}
        self.tx = str(uuid4())

    def headers(self, operation: str) -> dict[str, str]:
        return {"X_Tx_ID": self.tx, "X_Branch_ID": "b", "Idempotency_Key": f"{self.tx}:b:{operation}"}

    def ask(self, operation: str) -> httpx.Response:
        method, path = self.METHODS[operation]
        body = self.wanted if method == "POST" else None
        return self.points.call(method, path, body, **self.headers(operation))

    def query(self, operation: str) -> httpx.Response:
        return self.points.call("GET", "/operations", **self.headers(operation))


def test_answered_operations_survive_a_kill(points: Points, account: str) -> None:
    # Given
    branch, other = Branch(points, account), Branch(points, account, 20)
    assert branch.ask("forward").json() == {"left": 90}
    assert other.ask("try").json() == {"left": 70}

    # When it is killed, and a record was being written
    points.kill()
    with points.journal.open("ab") as journal:
        journal.write(b'{"accounts": {"torn')
    points.start()

    # Then
    assert points.account(account) == (70, 20)
    again = branch.ask("forward")
    assert (again.json(), again.headers["Idempotency-Replayed"]) == ({"left": 90}, "true")
    assert other.ask("confirm").status_code == 200
    points.kill()
    points.start()
    assert points.account(account) == (70, 0)


@pytest.mark.parametrize(("operation", "amount", "status"), [("forward", 10, 200), ("try", 101, 409)])
def test_a_repeat_gets_the_first_answer(points: Points, account: str, operation: str, amount: int, status: int) -> None:
    branch = Branch(points, account, amount)
    first = branch.ask(operation)
    # Even if it would be decided otherwise by now.
    points.open(account, 1000)
    repeats = [branch.ask(operation) for _ in range(3)]
    assert {answer.status_code for answer in [first, *repeats]} == {status}
    assert {answer.text for answer in repeats} == {first.text}
    assert points.account(account)[0] == 1000


def test_simultaneous_repeats_have_one_effect(points: Points, account: str) -> None:
    branch = Branch(points, account)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: branch.ask("forward"), range(32)))
    assert {answer.text for answer in answers} == {'{"left":90}'}
    assert sorted(answer.headers["Idempotency-Replayed"] for answer in answers).count("false") == 1
    assert points.account(account) == (90, 0)


@pytest.mark.parametrize(("forward", "undo"), [("forward", "compensate"), ("try", "cancel")])
def test_an_early_undo_undoes_nothing_and_blocks_the_late_forward_call(
    points: Points, account: str, forward: str, undo: str
) -> None:
    branch = Branch(points, account)
    assert branch.query(forward).status_code == 404
    assert branch.ask(undo).json() == {"undone": 0}
    late = branch.ask(forward)
    assert (late.status_code, late.json()["code"]) == (409, "Undone")
    assert points.account(account) == (100, 0)
    assert branch.query(forward).json()["outcome"] == "rejected"


def test_an_undo_returns_points_once(points: Points, account: str) -> None:
    branch = Branch(points, account)
    branch.ask("forward")
    assert [branch.ask("compensate").json() for _ in range(2)] == [{"undone": 10}] * 2
    assert points.account(account) == (100, 0)


def test_a_query_returns_the_outcome_of_an_operation(points: Points, account: str) -> None:
    branch, poor = Branch(points, account), Branch(points, account, 1000)
    branch.ask("try")
    poor.ask("try")
    assert branch.query("try").json() == {"outcome": "done", "result": {"left": 90}}
    assert poor.query("try").json() == {
        "outcome": "rejected",
        "code": "NotEnoughPoints",
        "detail": "1000 wanted, 90 left",
    }
    assert branch.query("confirm").status_code == 404


def test_a_request_without_a_valid_token_is_refused(points: Points, account: str) -> None:
    branch = Branch(points, account)
    assert httpx.post(f"{points.url}/debits", json=branch.wanted).status_code == 401
    headers = {**branch.headers("forward"), "Idempotency_Key": f"{branch.tx}:b:compensate"}
    assert points.call("POST", "/debits", branch.wanted, **headers).status_code == 400
    # Nothing was tried, so there is nothing to confirm: a fault of the caller's, not a decision.
    assert branch.ask("confirm").status_code == 422
    assert branch.query("confirm").status_code == 404
    assert points.account(account) == (100, 0)


@given(asked=st.lists(st.sampled_from(["forward", "compensate", "compensate", "kill"]), min_size=1, max_size=6))
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_in_any_order_of_calls_an_effect_exists_once_or_is_undone(points: Points, asked: list[str]) -> None:
    # Given a branch, and a network that doubles and reorders, and a process that dies in between
    account = f"account-{uuid4().hex[:8]}"
    points.open(account, 100)
    branch = Branch(points, account)
    for operation in asked:
        if operation == "kill":
            points.kill()
            points.start()
        else:
            branch.ask(operation)

    # Then
    forward, undo = "forward" in asked, "compensate" in asked
    assert points.account(account) == (90 if forward and not undo else 100, 0)


def test_the_openapi_document_is_valid() -> None:
    schemathesis.openapi.from_dict(yaml.safe_load(CONTRACT.read_text())).validate()


def test_every_answer_matches_the_openapi_document(points: Points, account: str) -> None:
    # Given answers of each kind to each operation
    document = yaml.safe_load(CONTRACT.read_text())
    schema = schemathesis.openapi.from_dict(document)
    good, poor, undone, held = (Branch(points, account, n) for n in (10, 1000, 10, 10))
    asked: list[tuple[Branch, str]] = [(undone, "compensate"), (held, "try"), (held, "confirm")]
    asked += [(branch, operation) for operation in ("forward", "try") for branch in (good, poor)]
    asked += [(good, "compensate"), (good, "cancel"), (Branch(points, account), "confirm")]
    for branch, operation in asked:
        method, path = Branch.METHODS[operation]
        answer = branch.ask(operation)
        assert_documented(document, schema, method, path, answer)
        assert_documented(document, schema, "GET", "/operations", branch.query(operation))
    points.fail(do="status", status=425, headers={"Retry-After": "1"})
    assert_documented(document, schema, "POST", "/debits", Branch(points, account).ask("forward"))


def assert_documented(document: Any, schema: Any, method: str, path: str, answer: httpx.Response) -> None:
    said = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in said, (method, path, answer.status_code)
    schema[path][method].validate_response(schemathesis.Response.from_any(answer))
