"""Every SQLSTATE is classified once: whose fault it is, whatever class Django and the driver give the error."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError, ProgrammingError

from sagas import db
from sagas.db import ConnectionLost, ErrorKind, classify_error, describe_error, is_other_database_lost, sqlstate


class _Psycopg2(Exception):
    """As psycopg 2 tells it."""

    def __init__(self, code: str | None) -> None:
        self.pgcode = code


class _Psycopg3(Exception):
    """As psycopg 3 tells it."""

    def __init__(self, code: str | None) -> None:
        self.sqlstate = code


def raised(kind: type[Exception], cause: Exception | None, text: str = "said the server\nDETAIL: more") -> Exception:
    error = kind(text)
    error.__cause__ = cause
    return error


@pytest.fixture(params=[True, False], ids=["connected", "not connected"])
def gone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    connected: bool = request.param
    monkeypatch.setattr(db, "is_disconnected", lambda using="default": not connected)  # noqa: ARG005
    return not connected


@pytest.mark.parametrize("driver", [_Psycopg2, _Psycopg3])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, ErrorKind.COLLISION) for code in ("40001", "40P01", "55P03")),
        *((code, ErrorKind.LOST) for code in ("08000", "08003", "08006", "57P01", "57P02", "57P03", "57P05")),
        *((code, ErrorKind.LOST) for code in ("25P03", "25P04", "40003", "F0000")),
        *((code, ErrorKind.UNFIT) for code in ("25006", "25004")),
        ("57014", ErrorKind.CANCELLED),
        *((code, ErrorKind.TROUBLE) for code in ("53000", "53100", "53200", "53300", "53400")),
        *((code, ErrorKind.TROUBLE) for code in ("57000", "58000", "58030", "58P01", "XX000", "XX001", "XX002")),
        *((code, ErrorKind.FAULT) for code in ("22003", "23505", "23514", "42P01", "42501", "25P02", "54001", "P0001")),
    ],
)
def test_the_sqlstate_alone_classifies_an_error(
    monkeypatch: pytest.MonkeyPatch, driver: Any, code: str, kind: ErrorKind
) -> None:
    monkeypatch.setattr(db, "is_disconnected", lambda using="default": False)  # noqa: ARG005
    for django in (OperationalError, InternalError, ProgrammingError):
        error = raised(django, driver(code))
        assert (sqlstate(error), classify_error(error)) == (code, kind)


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
@pytest.mark.parametrize("cause", [_Psycopg2(None), None])
def test_an_error_without_a_sqlstate_is_a_lost_connection(
    gone: bool, kind: type[Exception], cause: Exception | None
) -> None:
    error = raised(kind, cause)
    assert classify_error(error) is ErrorKind.LOST
    # But of which connection? Of ours, if it is not there any more.
    assert is_other_database_lost(error, "default") is (cause is not None and not gone)


@pytest.mark.parametrize("kind", [ProgrammingError, InternalError])
def test_djangos_error_on_a_closed_connection_is_a_lost_connection(gone: bool, kind: type[Exception]) -> None:
    assert classify_error(raised(kind, None)) is (ErrorKind.LOST if gone else ErrorKind.FAULT)


def test_an_error_that_no_database_raised_is_a_fault(gone: bool) -> None:
    assert classify_error(ValueError("08006")) is ErrorKind.FAULT
    assert classify_error(raised(DataError, _Psycopg2("22003"))) is ErrorKind.FAULT


def test_an_error_of_the_drivers_cursor_is_classified_but_not_one_it_caused() -> None:
    assert classify_error(_Psycopg2("53100")) is ErrorKind.TROUBLE
    assert classify_error(_Psycopg3("40001")) is ErrorKind.COLLISION
    assert classify_error(raised(ValueError, _Psycopg2("53100"))) is ErrorKind.FAULT


def test_a_description_contains_the_sqlstate_and_the_first_line() -> None:
    error = raised(OperationalError, _Psycopg2("53100"))
    assert describe_error(error) == "OperationalError 53100: said the server"
    lost = ConnectionLost()
    lost.__cause__ = error
    assert describe_error(lost) == describe_error(error)
