"""The doctor loads what unfinished runs were asked for, as their next steps would: it may not fit any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pydantic import BaseModel, Field, field_validator

import sagas
from sagas import State, store
from sagas.checks import check_runs
from sagas.engine.compensation import escalate
from sagas.operations import requests
from sagas.store.moves import event_entry
from tests.support.carrier import Carrier
from tests.support.deploys import NAME, deploy, deploying, step
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")

GUEST = "Li Lei 13800001111"


@pytest.fixture(autouse=True)
def _deploys() -> Iterator[None]:
    with deploying():
        yield


@dataclass(frozen=True)
class Plate:
    name: str
    pieces: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """As it was when the runs began."""

    guest: str
    plates: tuple[Plate, ...] = ()


@dataclass(frozen=True)
class OneFieldMore:
    guest: str
    table: int
    plates: tuple[Plate, ...] = ()


@dataclass(frozen=True)
class OneFieldMoreWithADefault:
    guest: str
    table: int = 0
    plates: tuple[Plate, ...] = ()


class CountedPlate(BaseModel):
    name: str
    pieces: dict[str, int]


class Counted(BaseModel):
    guest: str
    plates: list[CountedPlate]


class Suspicious(BaseModel):
    guest: str

    @field_validator("guest")
    @classmethod
    def _judge(cls, guest: str) -> str:
        msg = f"{guest} may not dine here"
        raise ValueError(msg)


class Breaking(BaseModel):
    guest: str

    @field_validator("guest")
    @classmethod
    def _break(cls, guest: str) -> str:
        raise KeyError(guest)


class Renamed(BaseModel):
    visitor: str = Field(alias="visitorName")


def begin(count: int, requests: type[Any] = Request) -> list[UUID]:
    saga = deploy({"a": step(), "b": step()}, requests=requests)
    plates = (Plate("soup", {GUEST: "two"}),)
    return [sagas.start(saga, Request(GUEST, plates)) for _ in range(count)]


def change(requests: type[Any]) -> None:
    deploy({"a": step(), "b": step()}, requests=requests)


def doctor() -> str:
    """What it says of requests."""
    out = StringIO()
    with suppress(CommandError):
        call_command("sagas", "doctor", stdout=out, no_color=True)
    said = out.getvalue()
    assert GUEST not in said
    assert "Li Lei" not in said
    return said


def test_requests_that_the_code_cannot_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run that has ended, four that are live, and one that waits for a person
    (ended,) = begin(1)
    sagas.cancel(ended)
    Carrier().run([ended])
    assert state(ended) is State.FAILED
    *live, person = begin(5)
    with transaction.atomic():
        escalate(store.runs.lock([person])[0], event_entry("escalate"), "{}")
    monkeypatch.setattr(requests, "BATCH", 2)

    # When the request gets a field without a default
    change(OneFieldMore)

    # Then the doctor says how many it hits, and what is wrong with the first
    said = doctor()
    assert f"error    The requests of 4 live and 1 escalated run(s) of {NAME} version 1 cannot be read here: " in said
    assert f"table missing (run {min([*live, person])})." in said
    assert "Give the new fields of the request's type defaults" in said
    # And the check at start-up does not read requests
    assert check_runs(databases=["default"]) == []

    # When it has a default
    change(OneFieldMoreWithADefault)
    assert "fine     The request of every unfinished run can be read here." in doctor()
    assert requests.find() == []


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        # The key is a guest's name; only what the type names is told.
        (Counted, "plates.0.pieces.… int_parsing"),
        (Suspicious, "guest value_error"),
        (Breaking, "KeyError"),
        (Renamed, "visitorName missing"),
        (int, "int_type"),
    ],
)
def test_the_first_error_is_named_without_what_is_personal(requests: type[Any], told: str) -> None:
    (run_id,) = begin(1)
    change(requests)
    assert f"cannot be read here: {told} (run {run_id})." in doctor()


def test_readable_and_unreadable_requests_are_told_apart() -> None:
    # Given runs of the type as it was, and of the one that came after
    old = begin(3)
    saga = deploy({"a": step(), "b": step()}, requests=OneFieldMore)
    for _ in range(2):
        sagas.start(saga, OneFieldMore(GUEST, 7))
    (found,) = requests.find()
    assert (found.saga, found.version, found.live, found.escalated, found.first) == (NAME, 1, 3, 0, min(old))


def test_an_unknown_saga_is_not_reported_by_this_finding() -> None:
    begin(1)
    deploy({"a": step()}, version=2)
    assert requests.find() == []
    assert "cannot go on here" in doctor()
