"""Channels: what apprise can read, and that no URL reaches a log, at whatever level."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
from django.core import checks
from pytest_django import Settings

from sagas.escalations import channels
from tests.support.receiver import Receiver

SECRETS = ("hunter2", "T0KEN")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture
def away() -> Iterator[Receiver]:
    """One that nobody listens on."""
    found = Receiver()
    yield found
    found.stop()


def test_a_channel_accepts_a_text(receiver: Receiver) -> None:
    receiver.start()
    assert channels.send_text([receiver.url], title="Escalated", body="one\ntwo") == 1
    (body,) = receiver.bodies
    assert (body["title"], body["message"]) == ("Escalated", "one\ntwo")


def test_a_failing_channel_does_not_stop_the_others(
    receiver: Receiver, away: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    # Given one that nobody listens on, one that apprise cannot read, and one that works
    receiver.start()

    # When
    taken = channels.send_text([away.url, "nonsense://hunter2", receiver.url], title="t", body="b")

    # Then
    assert taken == 1
    assert len(receiver.bodies) == 1
    said = [record.getMessage() for record in caplog.records if record.name == "sagas.escalations.channels"]
    assert said == [
        "sagas: SAGAS['ESCALATION_URLS'][0] (json) took no notice",
        "sagas: SAGAS['ESCALATION_URLS'][1] (nonsense) took no notice",
    ]


@pytest.mark.parametrize("status", [200, 500])
def test_no_log_line_contains_a_secret(
    receiver: Receiver, away: Receiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(1)
    for name in ("apprise", "urllib3.connectionpool"):
        caplog.set_level(1, name)
    receiver.start()
    receiver.status = status
    channels.send_text([receiver.url, away.url, "nonsense://hunter2/T0KEN"], title="t", body="b")
    assert channels.unreadable_urls(["nonsense://hunter2/T0KEN", receiver.url]) == [0]
    for secret in SECRETS:
        assert secret not in caplog.text
    # And who uses these loggers besides us is heard
    logging.getLogger("urllib3.connectionpool").debug("somebody else's")
    assert "somebody else's" in caplog.text


def test_e005_reports_a_channel_that_apprise_cannot_read(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "ESCALATION_URLS": ["json://127.0.0.1", "nonsense://hunter2/T0KEN"]}
    (found,) = (message for message in checks.run_checks(tags=["sagas"], databases=[]) if message.id == "sagas.E005")
    assert found.msg == "SAGAS['ESCALATION_URLS'][1] is no URL of apprise."


def test_e005_reports_that_apprise_is_not_installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert not [message for message in checks.run_checks(tags=["sagas"], databases=[]) if message.id == "sagas.E005"]
    settings.SAGAS = {**settings.SAGAS, "ESCALATION_URLS": ["json://127.0.0.1"]}
    (found,) = (message for message in checks.run_checks(tags=["sagas"], databases=[]) if message.id == "sagas.E005")
    assert found.hint == "pip install 'django-sagas[notices]'"
