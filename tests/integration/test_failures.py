"""What breaks is told in the process's log: with its cause, in reason, and without what is personal."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import pytest
from celery import Celery, current_app
from django.core.management import call_command

import sagas
from sagas import Call, Personal, Retry, Saga, State, Step, runtime, set_based
from sagas.definition.participants import Done
from sagas.failure_log import BURST, WINDOW, Throttle
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")

TWICE = Retry(attempts=2)


@dataclass(frozen=True)
class Guest:
    phone: Annotated[str, Personal]
    how: str = "raises"


class Fragile(Exception):
    def __str__(self) -> str:
        msg = "not even this"
        raise RuntimeError(msg)


def break_down(call: Call[Guest]) -> None:
    phone = call.request.phone
    if call.request.how == "mute":
        raise Fragile
    try:
        {"nobody": 1}[phone]
    except KeyError as error:
        msg = f"nobody answers at {phone}"
        raise LookupError(msg) from error


@set_based
def break_down_all(calls: Any) -> Any:
    for call in calls:
        break_down(call)
    return [Done() for _ in calls]


class Calling(Saga[Guest]):
    name = "tests.Calling"
    ring = Step(break_down, queue="orders", retry=TWICE)


class CallingAll(Saga[Guest]):
    name = "tests.CallingAll"
    ring = Step(break_down_all, queue="orders", retry=TWICE)


@dataclass(frozen=True)
class Plain:
    number: int = 0


def lose(call: Call[Plain]) -> None:
    raise KeyError(f"no {call.request.number}")


class Losing(Saga[Plain]):
    name = "tests.Losing"
    seek = Step(lose, queue="orders", retry=TWICE)


@pytest.fixture(autouse=True)
def throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.memory, "failures", Throttle())


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "sagas.failure_log"]


def failed(saga: type[Saga[Any]], request: object) -> UUID:
    run_id = sagas.start(saga, request)
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    return run_id


def test_a_participants_error_is_logged_with_its_traceback_and_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_id = failed(Losing, Plain(7))
    first, last = told(caplog)
    assert (first.levelname, last.levelname) == ("WARNING", "ERROR")
    for attempt, record in ((1, first), (2, last)):
        assert f"tests.Losing seek.forward of run {run_id} broke at attempt {attempt}" in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[0] is KeyError
        assert vars(record)["run_id"] == str(run_id)
    assert "is tried again in" in first.getMessage()
    assert "given up: the run is undone: KeyError: 'no 7'" in last.getMessage()
    assert "in lose" in caplog.text


@pytest.mark.parametrize("saga", [Calling, CallingAll])
def test_personal_data_is_in_no_line_of_the_log(caplog: pytest.LogCaptureFixture, saga: type[Saga[Guest]]) -> None:
    failed(saga, Guest("555-1234-567"))
    assert len(told(caplog)) == 2
    assert "LookupError: nobody answers at [personal]" in caplog.text
    assert "in break_down" in caplog.text
    # In the chain of exceptions neither, nor in the variables of the frames
    assert "555-1234-567" not in caplog.text
    for record in told(caplog):
        assert record.exc_info is not None
        trace = record.exc_info[2]
        frames = []
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        assert [f.f_code.co_name for f in frames][-1] == "break_down"
        assert "phone" not in frames[-1].f_locals


def test_an_exception_whose_text_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    run_id = failed(Calling, Guest("555", "mute"))
    assert "Fragile: (its text cannot be made: RuntimeError)" in told(caplog)[-1].getMessage()
    assert state(run_id) is State.FAILED


def test_a_step_that_fails_every_run_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ids = [sagas.start(Losing, Plain(number)) for number in range(3 * BURST)]
    Carrier().run(ids)
    assert {state(run_id) for run_id in ids} == {State.FAILED}
    assert len(told(caplog)) == 2 * BURST


def test_a_few_of_many_equal_errors_are_logged_and_the_others_counted() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    assert [throttle.take("a") for _ in range(BURST + 2)] == [0] * BURST + [None, None]
    assert throttle.take("b") == 0
    now[0] = WINDOW
    assert throttle.take("a") == 2
    assert throttle.take("a") == 0
    # It remembers no more kinds than it must
    for kind in range(5000):
        throttle.take(kind)
    assert len(throttle._windows) <= 1000


def test_the_shops_logs_have_the_traceback_and_the_run_in_one_line_of_json() -> None:
    code = """
import logging, logging.config
from drinkgroup.logs import logging_config
logging.config.dictConfig(logging_config(level="INFO", fmt="json"))
from uuid import UUID
from sagas.failure_log import Failure, log_failure
try:
    {}["tea"]
except KeyError as error:
    log_failure(Failure("orders.PlaceOrder", "create_order", "forward", UUID(int=5), 3, error, "is given up", True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert (line["level"], line["run_id"], line["step"], line["attempt"]) == (
        "error",
        str(UUID(int=5)),
        "create_order",
        3,
    )
    assert "Traceback" in line["exception"]
    assert "KeyError: 'tea'" in line["exception"]


@pytest.fixture
def projects_app() -> Iterator[None]:
    """A Celery app of the project's own, which knows none of the engine's queues, is the current one."""
    current: Any = current_app
    before = current._get_current_object()
    app = Celery("project", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    app.conf.task_create_missing_queues = False
    app.set_current()
    yield
    before.set_current()


def test_a_dispatch_uses_the_engines_app_whichever_is_current(
    projects_app: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = sagas.start(Losing, Plain())
    call_command("sagas", "dispatch", "--once")
    assert "dispatched all that was due" in capsys.readouterr().out
    assert state(run_id) is State.EXECUTING


def stumble() -> None:
    raise LookupError("behind it \ud800, too")


def half_a_letter(call: Call[Guest]) -> None:
    try:
        stumble()
    except LookupError as error:
        raise ValueError("half a letter: \ud800") from error


class Halved(Saga[Guest]):
    name = "tests.Halved"
    one = Step(half_a_letter, queue="orders", retry=Retry(attempts=1))


def test_a_text_that_a_stream_cannot_write_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    run_id = sagas.start(Halved, Guest("1"))
    with caplog.at_level(logging.WARNING, "sagas"):
        Carrier().run([run_id])
    told = "".join(logging.Formatter().format(record) for record in caplog.records)
    told.encode()
    assert "half a letter: ?" in told
    assert "behind it ?, too" in told
    assert "Traceback" in told
