"""Every request has an id, by which the answer, the problem and the lines of the log are joined."""

from __future__ import annotations

import json
import logging
import re

import pytest
from django.test import Client

from drinkgroup.logs import logging_config
from sagas.models import Run
from sagas.trace_context import TraceContext, parse
from tests.shop.conftest import ORDERS, Api, Shop


def test_the_callers_id_comes_back_with_the_answer_and_in_the_problem(api: Api, shop: Shop) -> None:
    reply = api.get(f"{ORDERS}NONE/", X_Request_ID="req-1.2:3")
    assert reply.status == 404
    assert reply.headers["X-Request-ID"] == "req-1.2:3"
    assert reply.body["request_id"] == "req-1.2:3"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "é", "-", "<script>"])
def test_who_gives_none_or_nonsense_gets_one(client: Client, given: str) -> None:
    answers = [client.get("/api/v1/menu/", headers={"X-Request-ID": given}) for _ in range(2)]
    ids = {answer["X-Request-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_the_lines_of_a_request_have_its_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given what formats the lines of the log
    config = logging_config(level="INFO", fmt="json")["formatters"]["line"]
    formatter = config.pop("()")(**config)
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    handler = Kept()
    logging.getLogger().addHandler(handler)
    try:
        # When
        api.get(f"{ORDERS}NONE/", X_Request_ID="told")
    finally:
        logging.getLogger().removeHandler(handler)

    # Then
    assert {json.loads(line)["request_id"] for line in lines if "NONE" in line} == {"told"}


def test_a_request_with_a_traceparent_gets_it_back_and_its_run_joins_the_trace(api: Api, shop: Shop) -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    reply = api.post(ORDERS, shop.body(), traceparent=given, tracestate="vendor=1")
    assert reply.headers["traceparent"] == given
    run = Run.objects.get(pk=reply.headers["X-Saga-ID"])
    assert TraceContext.of_run(run.trace_id, run.trace_parent) == parse(given, "vendor=1")


def test_a_malformed_traceparent_changes_nothing(api: Api, shop: Shop) -> None:
    reply = api.post(ORDERS, shop.body(), traceparent="00-nonsense-01")
    assert reply.status == 202
    assert "traceparent" not in reply.headers
    assert Run.objects.get(pk=reply.headers["X-Saga-ID"]).trace_parent is None
