"""``manage.py sagas pause | unpause | pauses``, and what the doctor says of what is paused."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sagas.models import Pause
from sagas.operations.doctor import runs as probes
from sagas.operations.doctor.finding import Severity
from tests.integration.admin.conftest import held
from tests.support import runs

pytestmark = pytest.mark.django_db


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("what", "said", "stored"),
    [
        (("--saga", "lab.Lab"), "Holds back lab.Lab", ("saga", "lab.Lab", "")),
        (("--step", "lab.Lab.two"), "Holds back lab.Lab.two", ("step", "lab.Lab", "two")),
        (("--starts",), "Holds back all new starts", ("starts", "", "")),
        (("--starts", "lab.Lab"), "Holds back new starts of lab.Lab", ("starts", "lab.Lab", "")),
    ],
)
def test_something_is_paused_and_unpaused(what: tuple[str, ...], said: str, stored: tuple[str, ...]) -> None:
    # When it is only asked for
    dry = command("pause", *what, "--dry-run")
    assert said in dry
    assert dry.endswith("nothing was done\n")
    assert not Pause.objects.exists()
    # When it is done
    assert command("pause", *what, "--reason", "a flood", "--by", "ada").endswith("done\n")
    assert Pause.objects.values_list("scope", "saga", "step").get(ended_at=None) == stored
    shown = json.loads(command("pauses", "--json"))
    assert (shown["scope"], shown["by"], shown["reason"]) == (stored[0], "ada", "a flood")
    # And when it is over
    command("unpause", *what, "--reason", "over")
    assert command("pauses") == "nothing is paused\n"


def test_a_run_is_paused_with_an_audit_entry() -> None:
    run_id = held("ORD-1")
    command("pause", "--run", str(run_id), "--reason", "look first", "--by", "ada")
    assert runs.story(run_id)[-2:] == ["pause", "action"]
    assert str(run_id) in command("pauses")
    with pytest.raises(CommandError, match="paused already"):
        command("pause", "--run", str(run_id), "--reason", "look first")
    command("unpause", "--run", str(run_id), "--reason", "looked")
    assert runs.story(run_id)[-2:] == ["unpause", "action"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("pause", "--saga", "lab.Lab"), "say why"),
        (("pause", "--saga", "nobody", "--reason", "x"), "there is no saga"),
        (("pause", "--step", "lab.Lab.nine", "--reason", "x"), "has no step"),
        (("unpause", "--saga", "lab.Lab", "--reason", "x"), "it is not paused"),
        (("pause", "--run", "01234567-89ab-7def-8123-456789abcdef", "--reason", "x"), "there is no run"),
        (("pause", "--reason", "x"), "one of the arguments"),
    ],
)
def test_what_cannot_be_paused_is_named(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        command(*arguments)


def test_the_doctor_names_what_is_paused() -> None:
    assert [finding.severity for finding in probes.paused()] == [Severity.FINE]
    command("pause", "--step", "lab.Lab.two", "--reason", "x", "--by", "ada")
    (finding,) = probes.paused()
    assert finding.severity is Severity.WARNING
    assert "by ada: step lab.Lab two." in finding.what
