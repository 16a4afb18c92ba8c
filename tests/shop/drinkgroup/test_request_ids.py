"""Every request has an id, by which the answer, the problem and the lines of the log are joined."""

from __future__ import annotations

import json
import logging
import re

import pytest
from django.test import Client

from drinkgroup.logs import logging_config
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
