"""A database restored from an older copy: nothing is undone for what passed meanwhile, and people learn of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from private_services import programs

import sagas
from sagas import State
from sagas.decisions.messages import Deadline
from sagas.engine import lifecycle
from sagas.messaging.topology import dead_letter_queue
from sagas.models import Confirmation, Run
from sagas.operations import restoring
from tests.lab.sagas import Closing, Experiment, Hurried, Lab, Twice
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, claim_all
from tests.support.runs import event, make_due, new_jar, shift_clock, shift_log, state, story

pytestmark = pytest.mark.usefixtures("alone", "topology")


def awaiting(saga: type[sagas.Saga[Experiment]] = Lab) -> UUID:
    run_id = sagas.start(saga, Experiment(jar=new_jar(10)))
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def restored(*arguments: str) -> str:
    """What the command says."""
    call_command("sagas", "restored", *arguments, "--by", "mei", stdout=(out := StringIO()))
    return out.getvalue()


def let_grace_pass() -> None:
    """Let all that was held be held no more, and be overdue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET held_until = now() - interval '1 second', deadline = LEAST(deadline, now()), "
            "due_at = now() WHERE held_until IS NOT NULL AND due_at IS NOT NULL"
        )


# -- Held back ------------------------------------------------------------------------------------------------


def test_an_expired_deadline_undoes_nothing_during_the_grace_period() -> None:
    # Given a run whose deadline passed an hour ago, as after a restore
    run_id = awaiting()
    shift_clock([run_id], 3600)
    # When
    said = restored("--grace", "600")
    # Then neither the tick nor RabbitMQ's message undoes it
    assert said.startswith("1 run(s) are held until ")
    make_due([run_id])
    claim_all()
    (again,) = lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message")
    assert state(run_id) is State.AWAITING_CONFIRM
    # (and the message comes again, by when it may)
    assert isinstance(again, Deadline)
    assert again.delay is not None
    assert 500 < again.delay <= 601
    # And its log says so
    data = event(run_id, "restored").data
    assert data is not None
    assert datetime.fromisoformat(data["held_until"]) == Run.objects.get(pk=run_id).held_until
    assert event(run_id, "restored").worker == "mei"
    # And once it is over, it is undone as ever
    let_grace_pass()
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED


def test_a_payment_during_the_grace_period_counts() -> None:
    run_id = awaiting()
    shift_clock([run_id], 3600)
    restored()
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED


def test_the_deadline_of_a_missing_second_confirmation_is_extended() -> None:
    run_id = awaiting(Twice)
    shift_clock([run_id], 3600)
    restored()
    sagas.confirm(run_id, "approval", {})
    make_due([run_id])
    claim_all()
    assert state(run_id) is State.AWAITING_CONFIRM
    deadline = Run.objects.get(pk=run_id).deadline
    assert deadline == Run.objects.get(pk=run_id).held_until


def test_a_computed_deadline_is_extended_too() -> None:
    # Given a run that was to be approved until an hour ago
    run_id = sagas.start(Closing, Experiment(jar=new_jar(10)))
    Carrier().run([run_id])
    request = {**Run.objects.get(pk=run_id).request, "closes_at": (timezone.now() - timedelta(hours=1)).isoformat()}
    Run.objects.filter(pk=run_id).update(request=request, deadline=timezone.now() - timedelta(hours=1))
    restored()
    make_due([run_id])
    claim_all()
    assert state(run_id) is State.AWAITING_CONFIRM
    let_grace_pass()
    claim_all()
    assert state(run_id) is State.COMPENSATING


def test_an_expired_timeout_undoes_nothing_during_the_grace_period() -> None:
    # Given a run that has stood at a step with a time-out of five seconds for an hour
    run_id = sagas.start(Hurried, Experiment())
    Carrier().run([run_id], until=lambda: "one.forward DONE" in story(run_id))
    shift_clock([run_id], 3600)
    shift_log(run_id, 3600)
    restored()
    # When it goes on
    make_due([run_id])
    Carrier().run([run_id])
    # Then it is not turned back
    assert "two.forward DONE" in story(run_id)


def test_a_run_that_has_not_begun_has_its_whole_time_and_the_grace_period() -> None:
    run_id = sagas.start(Lab, Experiment(jar=new_jar(10)))
    restored()
    assert Run.objects.get(pk=run_id).deadline is None
    Carrier().run([run_id])
    shift_clock([run_id], 3600)
    make_due([run_id])
    claim_all()
    assert state(run_id) is State.AWAITING_CONFIRM


def test_a_repeated_restore_extends_no_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given many runs, and batches of two
    monkeypatch.setattr(restoring, "BATCH", 2)
    ids = [awaiting() for _ in range(5)]
    ended = awaiting()
    sagas.cancel(ended)
    assert restored().startswith("5 run(s) are held")
    before = dict(Run.objects.values_list("pk", "held_until"))
    # When it is repeated
    assert "0 run(s) are held" in (said := restored())
    assert "5 were held already" in said
    # Then
    assert dict(Run.objects.values_list("pk", "held_until")) == before
    assert [story(run_id).count("restored") for run_id in ids] == [1] * 5
    assert "restored" not in story(ended)


def test_an_invalid_grace_period_is_refused() -> None:
    with pytest.raises(CommandError, match="--grace 0"):
        restored("--grace", "0")


# -- What messages know ---------------------------------------------------------------------------------------


def test_messages_that_name_unknown_runs_are_reported_and_kept(tmp_path: Path) -> None:
    # Given messages of a run that is known, and of others that are not
    known, lost, later, letter = awaiting(), uuid4(), uuid4(), uuid4()
    saga = {"saga": "lab.Lab", "version": 1, "step": "one", "phase": "forward"}
    broker.publish_task("orders", "sagas.step", [[str(known), str(lost)]], saga)
    broker.publish_task("orders", "sagas.step", [[str(known)]], saga)
    (delays,) = [name for name in broker.queue_names("sagas.deadline") if name.endswith(".60000")]
    broker.publish_task(delays, "sagas.cancel", [], {**saga, "confirmation": "payment", "ids": [str(later)]})
    broker.publish_raw(
        dead_letter_queue().name, json.dumps({"what": "lab.Lab", "ids": [str(letter)], "why": "no such run"})
    )
    broker.publish_raw("coupons", "nonsense")
    # When
    said = restored("--report", str(tmp_path / "report"))
    # Then
    assert "3 message(s) name 3 run(s) that this database does not know" in said
    lines = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert lines == [
        {"queue": "orders", "task": "sagas.step", "saga": "lab.Lab", "runs": [str(lost)]},
        {"queue": delays, "task": "sagas.cancel", "saga": "lab.Lab", "runs": [str(later)]},
        {"queue": dead_letter_queue().name, "task": "", "saga": "", "runs": [str(letter)]},
    ]
    # And they are still there, as soon as RabbitMQ has put back what was looked at
    queues = ("orders", "coupons", delays, dead_letter_queue().name)
    eventually(lambda: [broker.length(queue) for queue in queues] == [2, 1, 1, 1], what="all messages")


def test_the_search_for_messages_is_refused_while_workers_consume() -> None:
    run_id = awaiting()
    with broker.channel() as channel:
        channel.basic_consume("orders", callback=lambda _: None)
        with pytest.raises(CommandError, match=r"1 consumer\(s\) take messages: stop the workers"):
            restored()
    # The runs are held all the same
    assert "restored" in story(run_id)


# -- A real dump, restored ------------------------------------------------------------------------------------


@contextmanager
def copy_of_the_database(folder: Path) -> Iterator[None]:
    """What happens inside this block is forgotten at its end: the database is restored as it was before."""
    (bin_folder, *_) = programs.folders_with("pg_dump", "pg_restore")
    url, dump = servers.worker_environment()["DATABASE_URL"], str(folder / "dump")
    connection.close()
    subprocess.run([str(bin_folder / "pg_dump"), "-Fc", "-f", dump, url], check=True, capture_output=True)
    yield
    connection.close()
    restore = [str(bin_folder / "pg_restore"), "--clean", "--if-exists", "--no-owner", "--dbname", url, dump]
    subprocess.run(restore, check=True, capture_output=True)


@pytest.mark.slow
def test_a_database_restored_from_a_dump(tmp_path: Path) -> None:
    # Given an order that waits for its payment when the dump is made, and one that is paid and one placed after it
    paid, late = awaiting(), awaiting()
    with copy_of_the_database(tmp_path):
        sagas.confirm(paid, "approval", {"payment_id": "p-1"})
        Carrier().run([paid])
        assert state(paid) is State.SUCCEEDED
        forgotten = awaiting()
        broker.publish_task("inventory", "sagas.step", [[str(forgotten)]], {"saga": "lab.Lab", "version": 1})
    shift_clock([paid, late], 120)

    # When it was restored, and people have seen to it before the workers run again
    said = restored()
    assert state(paid) is State.AWAITING_CONFIRM
    assert "2 run(s) are held" in said
    assert f'"runs": ["{forgotten}"]' in said
    make_due([paid, late])
    claim_all()
    # Then nothing was undone, and the payment is taken when the provider sends it again
    assert state(late) is State.AWAITING_CONFIRM
    assert not Confirmation.objects.filter(run_id=paid).exists()
    sagas.confirm(paid, "approval", {"payment_id": "p-1"})
    Carrier().run([paid])
    assert state(paid) is State.SUCCEEDED
    # And the schema's guards are back as well
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'sagas_log_guard' AND tgenabled = 'O'")
        assert cursor.fetchone() == (1,)
