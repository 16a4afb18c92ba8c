"""Lines of the log: what they are about, in our form and in Elastic's."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from structlog.contextvars import clear_contextvars

from drinkgroup.logs import logging_config
from sagas import log_context, trace_context
from sagas.trace_context import parse
from tests.shop.conftest import ORDERS, Api, Shop
from tests.support.ecs import nested, problems_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def lines() -> Iterator[Callable[[str], list[str]]]:
    """Start to keep the lines of a form."""
    # What the last request of this thread has left.
    clear_contextvars()
    handlers: list[logging.Handler] = []

    def keep(fmt: str) -> list[str]:
        config = logging_config(level="INFO", fmt=fmt)["formatters"]["line"]
        formatter = config.pop("()")(**config)
        kept: list[str] = []

        class Kept(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                kept.append(formatter.format(record))

        handlers.append(Kept())
        logging.getLogger().addHandler(handlers[-1])
        return kept

    yield keep
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def said(kept: list[str], what: str) -> dict[str, Any]:
    (line,) = (line for line in kept if what in line)
    return nested(line)


def test_a_line_of_a_run_names_it_with_its_saga_step_and_trace(lines: Callable[[str], list[str]]) -> None:
    kept, run_id = lines("json"), uuid4()
    with trace_context.use(parse(PARENT)), log_context.of("shop.Buy", "pay", [run_id]):
        logging.getLogger("shop").warning("told")
    line = said(kept, "told")
    assert (line["run_id"], line["saga"], line["step"], line["trace_id"]) == (str(run_id), "shop.Buy", "pay", TRACE)


def test_a_line_of_a_cohort_names_ten_runs_and_their_number(lines: Callable[[str], list[str]]) -> None:
    kept, ids = lines("ecs"), [UUID(int=n) for n in range(400)]
    with log_context.of("shop.Buy", "pay", ids):
        logging.getLogger("shop").warning("told")
        with log_context.of_run(ids[7]):
            logging.getLogger("shop").warning("alone")
    assert said(kept, "told")["sagas"] == {
        "saga": "shop.Buy",
        "step": "pay",
        "run": {"ids": [str(run_id) for run_id in ids[:10]]},
        "cohort": {"size": 400},
    }
    assert said(kept, "alone")["sagas"]["run"] == {"id": str(ids[7])}
    assert [problems_of(line) for line in kept] == [[], []]


def test_an_exception_in_elastics_schema_has_its_class_text_and_traceback(lines: Callable[[str], list[str]]) -> None:
    kept = lines("ecs")
    try:
        raise ValueError("postgresql://shop:hunter2@db/shop \ud800")  # noqa: TRY301 - to have a traceback
    except ValueError:
        logging.getLogger("shop").exception("broke", extra={"attempt": 3, "operation": "forward"})
    line = said(kept, "broke")
    assert line["error"]["type"] == "ValueError"
    assert "Traceback" in line["error"]["stack_trace"]
    assert "hunter2" not in kept[0]
    assert (line["log"]["level"], line["log"]["logger"], line["message"]) == ("error", "shop", "broke")
    assert (line["sagas"]["attempt"], line["service"]["name"]) == (3, "drinkgroup")
    assert problems_of(kept[0]) == []


def test_a_field_that_the_index_does_not_know_is_found() -> None:
    assert problems_of('{"message": "x", "user": {"mail": "a@b.example"}, "log": 5, "sagas": {"attempt": "one"}}') == [
        "user is not mapped",
        "log is no object",
        "sagas.attempt is 'one', and no long",
    ]


def test_the_lines_of_a_request_have_its_trace_its_order_and_its_run(
    api: Api, shop: Shop, lines: Callable[[str], list[str]]
) -> None:
    # Given
    kept, run_id = lines("ecs"), str(uuid4())

    # When a request is answered with a line of Django's
    api.get(f"{ORDERS}NONE/", X_Request_ID="told", X_Saga_ID=run_id, traceparent=PARENT)

    # Then
    line = said(kept, "NONE")
    assert line["trace"]["id"] == TRACE
    assert line["http"]["request"]["id"] == "told"
    assert line["drinkgroup"]["order_no"] == "NONE"
    assert line["sagas"]["run"]["id"] == run_id
    assert problems_of(json.dumps(line)) == []


@pytest.mark.parametrize("given", ["", "no-uuid", "<script>"])
def test_a_saga_id_that_is_none_is_ignored(api: Api, shop: Shop, given: str) -> None:
    reply = api.get(f"{ORDERS}NONE/", X_Saga_ID=given)
    assert reply.status == 404
    assert "X-Saga-ID" not in reply.headers


def test_a_form_that_there_is_not_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT is json, ecs or console"):
        logging_config(level="INFO", fmt="xml")
