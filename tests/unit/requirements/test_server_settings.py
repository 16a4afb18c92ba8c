"""What is said of a server's settings, also of those that a test cannot have its server set to."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from sagas import checks
from sagas.requirements.server_settings import Setting, judge

GOOD = {
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
    "session_replication_role": "origin",
    "server_encoding": "UTF8",
    "transaction_read_only": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "lock_timeout": "10000",
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "30000",
}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({}, None),
        ({"default_transaction_isolation": "repeatable read"}, "E021"),
        ({"default_transaction_isolation": "serializable"}, "E021"),
        ({"default_transaction_isolation": "read uncommitted"}, None),
        ({"synchronous_commit": "off"}, "E022"),
        ({"synchronous_commit": "local"}, None),
        ({"synchronous_commit": "remote_apply"}, None),
        ({"session_replication_role": "replica"}, "E023"),
        ({"session_replication_role": "local"}, "E023"),
        ({"server_encoding": "LATIN1"}, "E024"),
        ({"server_encoding": "SQL_ASCII"}, "E024"),
        ({"transaction_read_only": "on"}, "E025"),
        ({"fsync": "off"}, "W022"),
        ({"full_page_writes": "off"}, "W022"),
        ({"lock_timeout": "0"}, "W023"),
        ({"statement_timeout": "0"}, "W023"),
        ({"idle_in_transaction_session_timeout": "0"}, "W023"),
        ({"idle_in_transaction_session_timeout": "100"}, "W024"),
        ({"transaction_timeout": "1000"}, "W024"),
        ({"transaction_timeout": "0"}, None),
    ],
    ids=str,
)
def test_each_harmful_setting_has_a_message(change: dict[str, str], check: str | None) -> None:
    found = {name: Setting(value, GOOD.get(name, value)) for name, value in {**GOOD, **change}.items()}
    said = judge("default", found)
    assert [deviation.check for deviation in said] == ([check] if check else [])
    for deviation in said:
        assert "'default'" in deviation.what
        assert "{" not in deviation.what
        assert deviation.remedy


def test_a_setting_that_a_server_does_not_have_is_no_problem() -> None:
    assert judge("default", {}) == []


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "no connect_timeout and no patience"),
        ({"connect_timeout": 3}, "no patience"),
        ({"patience": 5}, "no connect_timeout"),
        ({"connect_timeout": 3, "patience": 5}, None),
    ],
)
def test_w020_reports_a_database_without_timeouts(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, options: dict[str, Any], missing: str | None
) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", {**settings.DATABASES["default"], "OPTIONS": options})
    found = [one for one in checks.check_sessions() if "'default'" in one.msg]
    assert [(one.id, str(missing) in one.msg) for one in found] == ([("sagas.W020", True)] if missing else [])
