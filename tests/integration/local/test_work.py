"""``manage.py sagas work`` in real processes, with neither Celery nor RabbitMQ: what becomes of runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

import sagas
from sagas import State, store
from sagas.models import Log, Run
from sagas.operations import actions
from tests.lab.sagas import Experiment, Forked, Lab, PaidGroup, Parent, ShortLab, Unconfirmed
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    await_state,
    await_states,
    counts,
    new_jar,
    reason,
    state,
)
from tests.support.workers import Worker

#: Runs of a process that was killed come again soon.
SETTINGS: dict[str, Any] = {"BROKER": None, "REDIS_URL": None, "LEASE": 0.5, "TICK": 0.2}
#: Fails where Celery, or RabbitMQ's or Redis' client, is imported.
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"celery", "kombu", "amqp", "redis"}:
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, Blocker())
"""


class Work:
    """One ``manage.py sagas work`` with its processes."""

    def __init__(
        self, processes: int = 1, *arguments: str, path: str = "", log: str = "work", **environment: str
    ) -> None:
        self.log = servers.directory() / f"{log}-{os.getpid()}.log"
        before = set(self.children())
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "sagas", "work", "--processes", str(processes), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=servers.ROOT,
                env={
                    **servers.worker_environment(),
                    "LAB_SAGAS": json.dumps(SETTINGS),
                    **environment,
                    "PYTHONPATH": os.pathsep.join(filter(None, [path, str(servers.ROOT)])),
                },
                start_new_session=True,
            )
        try:
            eventually(
                lambda: len(set(self.children()) - before) == processes or self._failed(), within=40, what="processes"
            )
        except BaseException:
            self.stop()
            raise

    def children(self) -> list[int]:
        """The numbers of the processes that have begun to work."""
        known = store.workers.known_workers()
        names = [worker.beat.name for worker in known if re.match(r"work-\d+@", worker.beat.name)]
        return [pid for name in names if Path(f"/proc/{(pid := int(name[5:].partition('@')[0]))}").exists()]

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """Tell it to end; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)

    def _failed(self) -> bool:
        assert self.process.poll() is None, self.text()[-4000:]
        return False


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def without_a_broker(alone: None, settings: Any) -> None:
    """This process, which starts the runs, has the same settings."""
    settings.SAGAS = {**django_settings.SAGAS, **SETTINGS}


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work(2)
    yield work
    work.stop()


@pytest.fixture
def own_jar() -> Iterator[str]:
    jar = new_jar(100)
    yield jar
    assert_jar_adds_up(jar, 100)


def test_runs_are_confirmed_undone_when_refused_and_undone_when_late(work: Work, own_jar: str) -> None:
    # When
    paid = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(20)]
    refused = [sagas.start(Lab, Experiment(jar=own_jar, reject=("four",))) for _ in range(3)]
    late = [sagas.start(ShortLab, Experiment(jar=own_jar)) for _ in range(3)]
    broken = sagas.start(Lab, Experiment(jar=own_jar, faults={"two.forward": 1}))
    await_states([*paid, broken], State.AWAITING_CONFIRM)
    for run_id in [*paid, broken]:
        sagas.confirm(run_id, "approval", {})

    # Then
    await_states([*paid, broken], State.SUCCEEDED)
    await_states([*refused, *late], State.FAILED)
    assert reason(late[0])["kind"] == "timeout"
    for run_id in [*paid, *refused, *late, broken]:
        assert_effects_once(run_id)
    assert counts(own_jar) == (100 - 21, 0, 21)


def test_a_group_is_decided_at_once_and_whoever_comes_later_finds_the_decision(work: Work, own_jar: str) -> None:
    # Given
    ids = [PaidGroup.start(Experiment(jar=own_jar, group=own_jar)) for _ in range(3)]
    await_states(ids, State.AWAITING_CONFIRM)
    sagas.confirm(ids[0], "payment")

    # When
    sagas.decide(PaidGroup, "formed", own_jar, decline="too few")

    # Then
    late = PaidGroup.start(Experiment(jar=own_jar, group=own_jar))
    await_states([*ids, late], State.FAILED)
    assert counts(own_jar) == (100, 0, 0)
    eventually(lambda: sagas.decide(PaidGroup, "formed", own_jar, decline="too few").settled_at is not None)


def test_runs_wait_for_a_paused_participant_without_a_broker_and_finish(work: Work, own_jar: str) -> None:
    # Given
    target = actions.Target("step", "lab.Lab", "three")
    actions.pause(target, by="ada", reason="the shelf moves")
    # When
    ids = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(5)]
    eventually(lambda: Run.objects.filter(pk__in=ids, cursor=2, due_at=F("held_until")).count() == 5)
    # Then
    actions.unpause(target, by="ada", reason="it has moved")
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.mark.slow
def test_forks_and_children_of_runs_are_performed(work: Work, own_jar: str) -> None:
    forked = sagas.start(Forked, Experiment(jar=own_jar))
    parent = sagas.start(Parent, Experiment(jar=own_jar))
    child = eventually(lambda: Run.objects.filter(saga="lab.AskedChild", state="AWAITING_CONFIRM").first())
    assert child is not None
    sagas.confirm(child.pk, "approval", {})
    await_states([forked, parent], State.AWAITING_CONFIRM)
    sagas.confirm(forked, "approval", {})
    sagas.confirm(parent, "payment", {})
    await_states([forked, parent], State.SUCCEEDED)


def test_a_step_that_kills_its_process_is_given_up_and_its_neighbours_are_unharmed(work: Work, own_jar: str) -> None:
    # When
    # (of a saga without a deadline: to start a process again takes a while)
    killer = sagas.start(Unconfirmed, Experiment(kills=("two.forward",)))
    neighbours = [sagas.start(Unconfirmed, Experiment()) for _ in range(5)]
    others = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(5)]

    # Then
    await_states(neighbours, State.SUCCEEDED)
    await_states(others, State.AWAITING_CONFIRM)
    await_state(killer, State.FAILED, within=90)
    assert (reason(killer)["kind"], reason(killer)["code"]) == ("fault", "WorkerKilled")
    assert not Log.objects.filter(run_id__in=[*neighbours, *others], outcome="FAULT").exists()
    assert_effects_once(killer)
    assert work.process.poll() is None


@pytest.mark.slow
def test_runs_of_killed_processes_go_on_in_others(own_jar: str) -> None:
    # Given a parent and its processes that are killed while they work
    first = Work(2)
    ids = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(60)]
    eventually(lambda: Run.objects.exclude(state="PENDING").exists())
    kill(first.children()[0])
    kill(first.process.pid)

    # Then the processes end with their parent, and its successor finds the runs
    first.process.wait()
    eventually(lambda: not first.children(), what="the end of the processes")
    second = Work(1)
    try:
        await_states(ids, State.AWAITING_CONFIRM)
        for run_id in ids:
            assert_effects_once(run_id)
    finally:
        second.stop()


def test_a_worker_that_is_told_to_end_leaves_no_lease_and_no_process(own_jar: str) -> None:
    # Given
    work = Work(2)
    ids = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(50)]
    eventually(lambda: Run.objects.exclude(state="PENDING").exists())
    pids = work.children()

    # When
    code = work.stop()

    # Then it has ended what it had begun, and given back the rest
    assert code == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert store.workers.known_workers() == []
    assert not Run.objects.filter(pk__in=ids, claims__gt=0).exists()
    assert {state(run_id) for run_id in ids} <= {State.PENDING, State.EXECUTING, State.AWAITING_CONFIRM}


class Load:
    """Starts runs without a pause, most of which are confirmed at once, and the others too late."""

    def __init__(self, jar: str) -> None:
        self.jar = jar
        self.paid: list[UUID] = []
        self.late: list[UUID] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._start_runs)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def await_progress(self) -> None:
        """Wait until more runs are there, and one of them has ended."""
        begun = len(self.paid)
        eventually(lambda: len(self.paid) > begun + 20, within=60, what="more runs")
        newer = Run.objects.filter(pk__in=self.paid[begun:])
        eventually(lambda: newer.filter(state="SUCCEEDED").exists(), within=60, what="the end of one of them")

    def _start_runs(self) -> None:
        try:
            while not self._stopping.wait(0.05):
                run_id = sagas.start(Lab, Experiment(jar=self.jar))
                sagas.confirm(run_id, "approval", {})
                self.paid.append(run_id)
                if len(self.paid) % 10 == 0:
                    self.late.append(sagas.start(ShortLab, Experiment(jar=self.jar)))
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_project_moves_between_the_carriers_under_load(settings: Any) -> None:
    jar = new_jar(10_000)
    # A lease that a loaded machine does not exceed with everything that waits.
    own = {"LEASE": 3.0, "TICK": 0.2}
    with_broker = {**django_settings.SAGAS, **SETTINGS, **own, "BROKER": "rabbitmq"}
    without = {**django_settings.SAGAS, **SETTINGS, **own}

    def celery() -> Worker:
        settings.SAGAS = with_broker
        return Worker(concurrency=2, environment={"LAB_SAGAS": json.dumps(own)}).await_ready()

    def no_broker() -> Work:
        settings.SAGAS = without
        return Work(2, LAB_SAGAS=json.dumps({**SETTINGS, **own}))

    # Given runs that Celery is performing
    settings.SAGAS = with_broker
    before: Worker | Work = celery()
    try:
        with Load(jar) as load:
            load.await_progress()

            # When its workers are killed, the project moves, back in an orderly way, and once more
            for move, killed in ((no_broker, True), (celery, False), (no_broker, True), (celery, True)):
                if killed:
                    os.killpg(before.process.pid, signal.SIGKILL)
                    before.process.wait()
                else:
                    before.stop()
                before = move()
                load.await_progress()

        # Then every run has ended as it should, and nothing has happened twice
        await_states(load.paid, State.SUCCEEDED)
        await_states(load.late, State.FAILED)
    finally:
        before.stop()
    for run_id in [*load.paid, *load.late]:
        assert_effects_once(run_id)
    assert not Log.objects.filter(run_id__in=[*load.paid, *load.late], outcome="FAULT").exists()
    assert counts(jar) == (10_000 - len(load.paid), 0, len(load.paid))


@pytest.mark.slow
def test_work_beside_celery_workers_performs_each_step_once(own_jar: str, settings: Any) -> None:
    # Given both on the same tables
    settings.SAGAS = {**django_settings.SAGAS, **SETTINGS, "BROKER": "rabbitmq"}
    worker = Worker(environment={"LAB_SAGAS": json.dumps({"TICK": 0.2})})
    work = Work(1)
    worker.await_ready()
    try:
        # When
        ids = [sagas.start(Lab, Experiment(jar=own_jar)) for _ in range(60)]

        # Then
        await_states(ids, State.AWAITING_CONFIRM)
        for run_id in ids:
            assert_effects_once(run_id)
    finally:
        work.stop()
        worker.stop()


def test_processes_for_some_queues_hand_runs_over_and_leave_the_steps_of_others(own_jar: str) -> None:
    # Given processes for the first and the third step of Lab alone
    first = Work(1, "--queues", "orders,inventory")
    second = None
    try:
        paid = sagas.start(Lab, Experiment(jar=own_jar))
        refused = sagas.start(Lab, Experiment(jar=own_jar, reject=("four",)))
        forked = sagas.start(Forked, Experiment(jar=own_jar))
        # Then runs stand before the second one, for as long as that takes, and are nobody's
        stood = Run.objects.filter(pk__in=[paid, refused], state="EXECUTING", cursor=1, claims=0, due_at__lt=Now())
        eventually(lambda: stood.count() == 2, what="runs before their second step")
        longer = Now() - timedelta(seconds=4 * SETTINGS["LEASE"])
        eventually(stood.filter(due_at__lt=longer).exists, what="some leases")
        assert stood.count() == 2
        # When there are processes for the others, too
        second = Work(1, "--queues", "coupons,delivery", log="others")
        await_states([paid, forked], State.AWAITING_CONFIRM)
        sagas.confirm(paid, "approval", {})
        sagas.confirm(forked, "approval", {})
        # Then the runs end, and each step was performed by those of its queue
        await_states([paid, forked], State.SUCCEEDED)
        await_state(refused, State.FAILED)
        for run_id in (paid, refused, forked):
            assert_effects_once(run_id)
        steps = Log.objects.filter(run_id__in=[paid, refused], step__in=["one", "two", "three", "four"])
        by_worker: dict[str, set[str]] = {}
        for entry in steps.select_related("performer"):
            by_worker.setdefault(entry.performed_by, set()).add(entry.step)
        assert sorted(map(sorted, by_worker.values())) == [["four", "two"], ["one", "three"]]
    finally:
        first.stop()
        if second is not None:
            second.stop()


def test_a_queue_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match=r"--queues: there is no 'ordres', only orders,"):
        call_command("sagas", "work", "--queues", "orders,ordres")


def test_runs_end_where_celery_and_the_clients_of_rabbitmq_and_redis_are_not_installed(
    own_jar: str, tmp_path: Path
) -> None:
    # Given processes in which their import fails; Python imports this module at its start
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    work = Work(1, path=str(tmp_path))
    try:
        # When
        run_id = sagas.start(Lab, Experiment(jar=own_jar))
        await_state(run_id, State.AWAITING_CONFIRM)
        sagas.confirm(run_id, "approval", {})
        # Then
        await_state(run_id, State.SUCCEEDED)
        undone = sagas.start(Lab, Experiment(jar=own_jar, reject=("four",)))
        await_state(undone, State.FAILED)
        assert "is not installed" not in work.text()
    finally:
        work.stop()


def test_celery_and_the_clients_of_rabbitmq_and_redis_are_not_imported_by_check_and_doctor() -> None:
    program = (
        f"{BLOCKER}\nimport django\ndjango.setup()\n"
        "import sagas.local.worker, sagas.local.supervisor\n"
        "from django.core.management import call_command\n"
        "call_command('check'); call_command('sagas', 'doctor')\n"
    )
    static = "from tests.static_settings import *\nSAGAS = {**SAGAS, 'BROKER': None, 'REDIS_URL': None}\n"
    folder = servers.directory() / "blocked"
    folder.mkdir(exist_ok=True)
    (folder / "blocked_settings.py").write_text(static)
    environment = {**servers.worker_environment(), "DJANGO_SETTINGS_MODULE": "blocked_settings"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(servers.ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert "is not installed" not in done.stderr, done.stderr[-3000:]
    assert "no broker is needed" in done.stdout, done.stderr[-3000:]
