"""Runs are written to files before they are deleted: whole, once, and without personal data."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uuid_utils.compat
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

import sagas
from sagas import State
from sagas.models import Log, Run
from sagas.retention import archive, pruning
from sagas.store.retention.pruning import TABLES, Ended
from tests.lab.personal_data import Host, Visit
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.carrier import Carrier
from tests.support.retention import age, keep, left_of, old_id, there
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone", "jar")
JAR = 50
PHONE = "13812345678"


@pytest.fixture(autouse=True)
def _kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(settings)
    monkeypatch.setattr(uuid_utils.compat, "uuid7", old_id)


def command(*arguments: object) -> str:
    """What the command says."""
    call_command("sagas", "archive", *map(str, arguments), stdout=(out := StringIO()))
    return out.getvalue()


def old_runs(jar: str) -> list[UUID]:
    """Runs that have ended in all ways, long ago: confirmed, cancelled, and by a person."""
    ids = [sagas.start(Lab, Experiment(jar=jar), business_key=f"K-{n}") for n in range(2)]
    ids.append(sagas.start(Lab, Experiment(jar=jar, faults={"one.confirm": 99}, reject=())))
    Carrier().run(ids)
    sagas.cancel(ids[1], reason="no more thirst", by="ada")
    for run_id in (ids[0], ids[2]):
        sagas.confirm(run_id, "approval", {"note": "茶"})
    Carrier().run(ids)
    sagas.resume(ids[2], by="ada", note="again")
    Carrier().run(ids)
    ids.append(sagas.start(Unconfirmed, Experiment()))
    Carrier().run(ids)
    ended = [run_id for run_id in ids if state(run_id) in {State.SUCCEEDED, State.FAILED}]
    age(ended)
    return ended


def in_tables(ids: Sequence[UUID]) -> dict[str, dict[str, Any]]:
    """All that the tables have of these runs, by run."""
    found: dict[str, dict[str, Any]] = {str(run_id): {} for run_id in ids}
    with connection.cursor() as cursor:
        for (table, column), member in zip(TABLES, ("log", "confirmations", "escalations", "run"), strict=True):
            cursor.execute(
                f"SELECT {column}::text, json_agg(to_jsonb(one) ORDER BY one.id)::text FROM {table} AS one "  # noqa: S608 - ours
                f"WHERE {column} = ANY(%s::uuid[]) GROUP BY {column}",
                [list(ids)],
            )
            for run_id, text in cursor.fetchall():
                rows = json.loads(text)
                found[run_id][member] = rows[0] if member == "run" else rows
    for of_run in found.values():
        of_run["log"] = [_written_out(row, of_run["run"]["trace_id"]) for row in of_run["log"]]
    return found


def _written_out(row: dict[str, Any], trace_id: str) -> dict[str, Any]:
    """A row of the log without the number of its performer, but with all names."""
    entry = Log.objects.select_related("performer").get(run_id=row["run_id"], id=row["id"])
    names = {"worker": entry.performed_by, "compensate": entry.undone_by, "trace_id": trace_id}
    return {name: value for name, value in row.items() if name != "performer_id"} | names


def test_an_archive_has_what_was_in_the_tables(jar: str, tmp_path: Path) -> None:
    # Given
    ids = old_runs(jar)
    assert len(ids) == 3
    before = in_tables(ids)

    # When
    said = command("--to", tmp_path, "--batch", 2)

    # Then
    assert said == f"3 run(s) written to {tmp_path} and deleted\n"
    assert left_of(ids) == 0
    lines = {line["run"]["id"]: line for line in archive.read(tmp_path)}
    assert set(lines) == set(before)
    for run_id, was in before.items():
        line = lines[run_id]
        assert line["format"] == 1
        assert line["with_data"]
        assert {member: line[member] for member in ("run", "log")} == {m: was[m] for m in ("run", "log")}
        assert line["confirmations"] == was.get("confirmations", [])
        assert line["escalations"] == was.get("escalations", [])
    # And only who runs the command can read the files, each of one batch
    files = sorted(tmp_path.iterdir())
    assert [(file.suffixes[-2:], file.stat().st_mode & 0o777) for file in files] == [([".jsonl", ".gz"], 0o600)] * 2


def test_personal_data_are_left_out(tmp_path: Path) -> None:
    # Given finished runs that know somebody, and have told of them in many places
    ids = [sagas.start(Host, Visit(phone=PHONE, refuse=refuse)) for refuse in ("", "seat")]
    Carrier().run(ids)
    sagas.confirm(ids[0], "payment", {"payer": {"name": "Ada Lovelace"}})
    Carrier().run(ids)
    assert [state(run_id) for run_id in ids] == [State.SUCCEEDED, State.FAILED]
    age(ids)

    # When
    command("--to", tmp_path)

    # Then
    (file,) = tmp_path.iterdir()
    text = gzip.decompress(file.read_bytes()).decode()
    assert len(text.splitlines()) == 2
    assert [secret for secret in (PHONE, "Lovelace", "Ms 5678") if secret in text] == []
    # And what is not personal is there.
    assert "is on the list already" in text
    assert "Hall 3" in text


@pytest.mark.usefixtures("loyalty_database")  # such a run may have had steps in any database
def test_of_a_saga_that_nobody_knows_no_data_are_written(jar: str, tmp_path: Path) -> None:
    # Given a run of which neither the code nor the database has the definition
    run_id = sagas.start(Unconfirmed, Experiment(jar="secret"))
    Carrier().run([run_id])
    age([run_id])
    Run.objects.filter(pk=run_id).update(saga="lab.Gone")

    # When
    command("--to", tmp_path)

    # Then it is on record that there was one, and how it went
    (line,) = archive.read(tmp_path)
    assert (line["run"]["saga"], line["run"]["state"], line["with_data"]) == ("lab.Gone", "SUCCEEDED", False)
    assert (line["run"]["request"], line["run"]["results"]) == (None, None)
    assert line["log"][0]["operation"] == "start"
    assert "secret" not in json.dumps(line)


class Stop(Exception):
    """The process dies here."""


def test_a_run_that_was_written_and_not_deleted_is_read_once(jar: str, tmp_path: Path) -> None:
    # Given an archive that stops between its file and its commit
    ids = old_runs(jar)
    written = archive.Archive(tmp_path)

    def write_and_stop(runs: Sequence[Ended]) -> None:
        written.write(runs)
        raise Stop

    with pytest.raises(Stop):
        pruning.prune(limit=10, rate=1e6, sink=write_and_stop)
    assert there(ids) == set(ids)
    assert len(list(tmp_path.iterdir())) == 1
    # And one of the runs changes before it is archived again
    sagas.erase(business_key="K-0", by="bob")
    Run.objects.filter(pk=ids[0]).update(business_key="K-2")

    # When
    command("--to", tmp_path, "--batch", 2)

    # Then each is there once, as it was in the end
    lines = list(archive.read(tmp_path))
    assert sorted(line["run"]["id"] for line in lines) == sorted(map(str, ids))
    assert [line["run"]["business_key"] for line in lines if line["run"]["id"] == str(ids[0])] == ["K-2"]


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_an_archive_that_is_killed_leaves_no_half_of_a_file(jar: str, tmp_path: Path, moment: str) -> None:
    # Given a process that is killed while it writes
    ids = old_runs(jar)
    pid = os.fork()
    if pid == 0:
        try:
            # A session of its own: the parent's is not the child's to use.
            connection.connection = None
            connection.savepoint_ids, connection.in_atomic_block = [], False

            def die(*_: object, **__: object) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            target = "os.fsync" if moment == "fsync" else "pathlib.Path.rename"
            pytest.MonkeyPatch().setattr(target, die)
            pruning.prune(limit=10, rate=1e6, sink=archive.Archive(tmp_path).write)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL

    # Then nothing has its final name, and nothing is deleted
    assert list(archive.read(tmp_path)) == []
    assert there(ids) == set(ids)
    # And the next one is whole
    command("--to", tmp_path)
    assert {UUID(line["run"]["id"]) for line in archive.read(tmp_path)} == set(ids)


def test_where_there_is_no_room_nothing_is_deleted_and_no_part_stays(
    jar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = old_runs(jar)
    monkeypatch.setattr(os, "fsync", _no_room)
    with pytest.raises(CommandError, match=r"cannot be written: No space left on device; what is written is complete"):
        command("--to", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert there(ids) == set(ids)


def _no_room(_descriptor: int) -> None:
    raise OSError(28, os.strerror(28))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no such folder"):
        command("--to", tmp_path / "nowhere")


def test_a_line_of_a_later_format_is_not_misread(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "runs-x.jsonl.gz", "wt") as file:
        file.write('{"format": 2}\n')
    with pytest.raises(ValueError, match="format 1, and not 2"):
        list(archive.read(tmp_path))
