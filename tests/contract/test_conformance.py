"""The conformance kit finds what is wrong with a participant, and nothing where nothing is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagas.definition.participants import Operation
from sagas.remote.conformance import CheckOutcome, Route, Subject, examine, subject
from sagas.remote.conformance.__main__ import main
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.faulty_participant import ROUTES, FaultyParticipant, serving
from tests.support.points import NODE, SERVER, Points, needs_node

BOTH = {Operation(operation): Route(*route) for route, operation in ROUTES.items()}
FORWARD = {operation: BOTH[operation] for operation in (Operation.FORWARD, Operation.COMPENSATE)}
TRY = {operation: BOTH[operation] for operation in BOTH if operation not in FORWARD}

RESTART = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1] + '/restart', method='POST'))"


def broken(faulty: FaultyParticipant, routes: dict[Operation, Route]) -> dict[str, str]:
    """The checks that a participant does not pass, and why."""
    with serving(faulty) as url:
        examined = Subject(
            url,
            routes,
            {"points": 1},
            refused={"points": 1_000_000},
            query="/operations",
            observe="/balance",
            restart=(sys.executable, "-S", "-c", RESTART, url),
        )
        return {result.check: result.why for result in examine(examined) if result.outcome is CheckOutcome.BROKEN}


def test_a_conforming_participant_violates_no_rule() -> None:
    assert broken(FaultyParticipant(), BOTH) == {}


@pytest.mark.parametrize(
    ("defect", "found"),
    [
        ("breaks", {"asked_and_taken_back"}),
        ("speaks no JSON", {"asked_and_taken_back"}),
        ("undoes nothing", {"asked_and_taken_back"}),
        ("says something else to a repeat", {"repeated", "repeated_at_once", "null_compensation", "survives"}),
        ("looks before it leaps", {"repeated_at_once"}),
        ("rejects what it is executing", {"repeated_at_once"}),
        ("has one barrier for all branches", {"branches_apart", "queried"}),
        ("undoes as often as it is asked", {"repeated", "repeated_at_once"}),
        ("decides a refusal anew", {"refused"}),
        ("gives back what it refused", {"refused"}),
        ("cannot undo what never came", {"null_compensation", "dangling", "queried", "survives"}),
        ("lets a late one through", {"dangling", "queried", "survives"}),
        ("forgets what it has undone", {"repeated_after_undo"}),
        ("lies when it is asked", {"queried"}),
        ("keeps it in memory", {"survives"}),
    ],
)
def test_each_violation_is_found(defect: str, found: set[str]) -> None:
    # What is found by a race besides may be found or not.
    assert set(broken(FaultyParticipant(defect), FORWARD)) - {"at_the_same_moment"} == found


def test_an_undo_that_its_forward_call_overtakes_is_found() -> None:
    assert "at_the_same_moment" in broken(FaultyParticipant("looks before it leaps"), FORWARD)


def test_a_participant_without_a_barrier_violates_most_rules() -> None:
    assert broken(FaultyParticipant("has no barrier"), FORWARD).keys() >= {"repeated", "repeated_at_once", "dangling"}


def test_a_confirm_with_two_effects_is_found() -> None:
    assert set(broken(FaultyParticipant("confirms as often as it is asked"), TRY)) == {"confirmed"}


def test_the_checks_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.2)
    assert "not yet" in broken(FaultyParticipant("is never ready"), FORWARD)["asked_and_taken_back"]


def test_a_check_that_is_impossible_is_reported() -> None:
    with serving(FaultyParticipant()) as url:
        results = list(examine(Subject(url, FORWARD, {"points": 1})))
    assert {result.outcome for result in results} == {CheckOutcome.KEPT, CheckOutcome.NOT_ASKED}
    why = {result.check: result.why for result in results if result.outcome is CheckOutcome.NOT_ASKED}
    assert why.keys() == {"branches_apart", "confirmed", "refused", "queried", "survives"}
    assert all(why.values())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command, as somebody would who has no Django project."""
    clean = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-m", "sagas.remote.conformance", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=servers.ROOT,
        env={**clean, **environment},
        timeout=100,
    )


@pytest.fixture
def kept_alive(tmp_path: Path) -> Iterator[tuple[Points, Path]]:
    """The points, with somebody who starts them again when they die; and the file that says their process."""
    points, pid = Points(tmp_path), tmp_path / "pid"
    loop = 'while :; do "$0" "$1" & echo $! > "$2"; wait; done'
    with points.log.open("ab") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", loop, NODE or "node", str(SERVER), str(pid)],
            env={
                "PATH": os.environ["PATH"],
                "PORT": str(points.port),
                "POINTS_JOURNAL": str(points.journal),
                "POINTS_TOKEN": points.token,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(points.answers, what="the points answer")
        yield points, pid
    finally:
        os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()


@needs_node
def test_the_participant_in_node_keeps_the_contract(kept_alive: tuple[Points, Path]) -> None:
    points, pid = kept_alive
    points.open("conformance", 1000)
    command = [points.url, "--forward", "POST /debits", "--compensate", "DELETE /debits"]
    command += ["--try", "POST /reservations", "--confirm", "PUT /reservations", "--cancel", "DELETE /reservations"]
    command += ["--body", '{"account": "conformance", "points": 1}']
    command += ["--refused", '{"account": "conformance", "points": 1000000}']
    command += ["--query", "/operations", "--observe", "/accounts/conformance"]
    command += ["--restart", f"sh -c 'kill -9 $(cat {pid})'", "--header-from", "SECRET"]
    done = run(*command, SECRET=f"Authorization: Bearer {points.token}")
    assert done.returncode == 0, done.stdout + done.stderr
    # All but the confirm that a debit has not.
    assert done.stdout.splitlines()[-1] == "23 kept, 0 BROKEN, 1 not asked"
    assert points.log.read_text().count("listening") == 3
    assert points.token not in done.stdout
    # One point was confirmed.
    assert points.account("conformance") == (999, 0)


def test_the_command_names_the_violations() -> None:
    with serving(FaultyParticipant("lets a late one through")) as url:
        done = run(url, "--forward", "POST /debits", "--compensate", "DELETE /debits", "--body", '{"points": 1}')
    assert done.returncode == 1, done.stderr
    assert 'forward came after its compensate: done, {"points": 1}; wanted: 409' in done.stdout


PAIR = ("--forward", "POST /a", "--compensate", "DELETE /a")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which operations?"),
        (("--forward", "POST /debits"), "needs --compensate too"),
        (("--try", "POST /held", "--cancel", "DELETE /held"), "needs --confirm too"),
        (("--forward", "debits"), "such as 'POST /debits'"),
        ((*PAIR, "--body", "{"), "no JSON"),
        ((*PAIR, "--header", "sesame"), "a name, a colon and a value"),
        ((*PAIR, "--header-from", "NOBODY_HAS_SET_ME"), "no such variable"),
        ((*PAIR, "--observe", "balance"), "begins with a slash"),
        ((*PAIR, "--query", "operations"), "begins with a slash"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_arguments_are_refused(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1", *arguments])
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert said in told.err
    assert "sesame" not in told.err + told.out


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    done = run("http://me:sesame@127.0.0.1:1", *PAIR)
    assert done.returncode == 2
    assert "sesame" not in done.stderr + done.stdout


def test_an_unreachable_participant_is_reported() -> None:
    done = run("http://127.0.0.1:1", *PAIR)
    assert done.returncode == 1
    assert "not reached: Connection refused" in done.stdout
