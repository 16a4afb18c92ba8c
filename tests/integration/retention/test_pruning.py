"""Old runs are deleted: whole families, which nobody needs any more, with all that goes with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
import uuid_utils.compat
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from pytest_django import Settings

import sagas
from sagas import PrunedRun, State, on_prune, runtime, store
from sagas.checks import check_retention
from sagas.conf import Misconfigured, config
from sagas.engine import lifecycle, shared_decisions
from sagas.engine.compensation import escalate
from sagas.engine.subsagas import child_run_id
from sagas.errors import RunExists, RunPruned
from sagas.models import Horizon, Log, Pruning, Run, SharedDecision
from sagas.operations import doctor
from sagas.operations.doctor import Severity, retention
from sagas.retention import pruning
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Grouped, Lab, Parent, Telling, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.retention import KEPT, age, is_buried, keep, left_of, old_id, there
from tests.support.runs import counts, state

pytestmark = pytest.mark.usefixtures("alone", "jar")
JAR = 50


@pytest.fixture(autouse=True)
def _kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(settings)
    # All runs began long ago. When they ended, each test says.
    monkeypatch.setattr(uuid_utils.compat, "uuid7", old_id)


def prune(*, limit: int = 500) -> pruning.Batch:
    """A whole pass."""
    return pruning.prune(limit=limit, rate=1e6)


def command(*arguments: str) -> str:
    """What the command says."""
    call_command("sagas", *arguments, stdout=(out := StringIO()))
    return out.getvalue()


def ended(jar: str, *, confirmed: bool = True, run_id: UUID | None = None) -> UUID:
    """A run that has just ended: with a hold that became a sale, or was given back."""
    run_id = sagas.start(Lab, Experiment(jar=jar), run_id=run_id)
    Carrier().run([run_id])
    if confirmed:
        sagas.confirm(run_id, "approval", {})
    else:
        sagas.cancel(run_id)
    Carrier().run([run_id])
    assert state(run_id) is (State.SUCCEEDED if confirmed else State.FAILED)
    return run_id


def escalated(jar: str) -> UUID:
    """A run that is escalated at its first confirm."""
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"one.confirm": 99}))
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    assert state(run_id) is State.ESCALATED
    return run_id


# -- What goes, and what stays ----------------------------------------------------------------------------------


def test_an_old_run_goes_with_all_that_belongs_to_it_and_the_pool_keeps_its_sum(jar: str) -> None:
    # Given two runs of long ago, and two of now
    old = [ended(jar), ended(jar, confirmed=False)]
    young = [ended(jar), ended(jar, confirmed=False)]
    age(old)

    # When
    done = prune()

    # Then
    assert done.runs == 2
    assert left_of(old) == 0
    assert there(young) == set(young)
    assert not JarHold.objects.filter(run_id__in=old).exists()
    assert counts(jar) == (JAR - 2, 0, 2)
    assert Jar.objects.get(pk=jar).settled == 1
    assert not [
        finding for finding in doctor.examine() if finding.severity is Severity.ERROR and "pool" in finding.what
    ]


def test_a_decision_goes_with_the_runs_of_its_time_and_not_while_one_may_need_it(jar: str) -> None:
    # Given two decisions of long ago: of a group that has ended, and of one a run of which waits for a person
    ids = {}
    for group in ("ended", "waits", "young"):
        (ids[group],) = [Grouped.start(Experiment(group=group))]
        Carrier().run([ids[group]])
    with transaction.atomic():
        row = store.runs.lock_one(ids["waits"])
        escalate(row, store.moves.event_entry("escalate"), "{}")
    for group in ids:
        sagas.decide(Grouped, "formed", group)
    while shared_decisions.settle_some().more:
        pass
    Carrier().run(list(ids.values()))
    age([ids["ended"]])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_shareddecision DISABLE TRIGGER sagas_shareddecision_guard")
        cursor.execute(
            "UPDATE sagas_shareddecision SET decided_at = decided_at - interval '2 years' WHERE key <> 'young'"
        )
        cursor.execute("ALTER TABLE sagas_shareddecision ENABLE TRIGGER sagas_shareddecision_guard")

    # When
    prune()

    # Then
    assert not there([ids["ended"]])
    assert set(SharedDecision.objects.values_list("key", flat=True)) == {"waits", "young"}
    # And a run that comes after that waits for a new one
    late = Grouped.start(Experiment(group="ended"))
    Carrier().run([late])
    assert state(late) is State.AWAITING_CONFIRM
    assert sagas.decide(Grouped, "formed", "ended").first


def test_the_doctor_warns_when_pruning_is_behind(jar: str, settings: Settings) -> None:
    # Given a run that may be deleted since today, another one since long ago, and one that nobody may delete
    today, late, kept = ended(jar), ended(jar), sagas.start(Telling, Experiment(reject=("one",)))
    Carrier().run([kept])
    age([today], days=KEPT + 1)
    age([late, kept], days=KEPT + 3)

    def warned() -> list[tuple[Severity, int]]:
        return [(found.severity, found.runs) for found in retention.pruning()]

    # Then
    assert warned() == [(Severity.WARNING, 1)]
    prune()
    assert warned() == [(Severity.FINE, 0)]
    keep(settings, {"*": 0.001})
    assert warned() == [(Severity.ERROR, 0)]
    keep(settings, {"*": None})
    assert warned() == []


def test_runs_are_kept_by_saga_and_outcome(jar: str, settings: Settings) -> None:
    # Given
    keep(settings, {"lab.Lab": {"SUCCEEDED": 90, "FAILED": 10}, "lab.Unconfirmed": None, "*": 60})
    sold, undone = ended(jar), ended(jar, confirmed=False)
    kept = sagas.start(Unconfirmed, Experiment())
    told = sagas.start(Telling, Experiment(reject=("one",)))
    Carrier().run([kept, told])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sagas_outbox")
    age([sold, undone, kept, told], days=70)

    # When
    prune()

    # Then
    assert there([sold, undone, kept, told]) == {sold, kept}
    # And as time passes, the other one, but never what is kept for ever
    age([sold, kept], days=70)
    prune()
    assert there([sold, kept]) == {kept}


def test_a_run_that_has_not_ended_is_never_deleted_however_old(jar: str) -> None:
    waiting = sagas.start(Lab, Experiment(jar=jar))
    Carrier().run([waiting])
    stuck = escalated(jar)
    age([waiting, stuck], days=1000)
    assert prune().runs == 0
    assert there([waiting, stuck]) == {waiting, stuck}


def test_a_run_that_was_ended_by_hand_stays_until_its_hold_is_settled(jar: str) -> None:
    # Given
    run_id = escalated(jar)
    sagas.resolve(run_id, outcome=State.SUCCEEDED, by="ada", note="sold by hand")
    age([run_id])

    # When
    done = prune()

    # Then it is left, with its hold
    assert (done.runs, done.left) == (0, 1)
    assert JarHold.objects.filter(run_id=run_id, state="HELD").exists()

    # And when the person has settled it, it goes
    JarHold.objects.filter(run_id=run_id).update(state="CONFIRMED")
    Jar.objects.filter(pk=jar).update(held=0, sold=1)
    assert prune().runs == 1


def test_a_run_stays_while_an_event_of_it_waits() -> None:
    run_id = sagas.start(Telling, Experiment(reject=("one",)))
    Carrier().run([run_id])
    age([run_id])
    assert (prune().left, there([run_id])) == (1, {run_id})
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sagas_outbox WHERE run_id = %s", [run_id])
    assert prune().runs == 1


class Family:
    """A parent and its two children, all ended."""

    def __init__(self, jar: str, *, confirmed: bool = True) -> None:
        self.parent = sagas.start(Parent, Experiment(jar=jar))
        self.child, self.asked = child_run_id(self.parent, "child"), child_run_id(self.parent, "asked")
        self._carried()
        if confirmed:
            sagas.confirm(self.asked, "approval", {})
            self._carried()
            sagas.confirm(self.parent, "payment", {})
            self._carried()

    def _carried(self) -> None:
        for _ in range(8):
            Carrier().run(self.all)

    @property
    def all(self) -> list[UUID]:
        return [self.parent, self.child, self.asked]


def test_a_family_goes_as_a_whole(jar: str) -> None:
    family = Family(jar)
    age(family.all)
    assert prune().runs == 3
    assert left_of(family.all) == 0
    # Ids of children say nothing of their age.
    assert [is_buried(run_id) for run_id in (family.child, family.asked)] == [True, True]


def test_an_old_child_stays_as_long_as_its_parent_lives_or_is_young(jar: str) -> None:
    # Given a child that has ended long ago, of a parent that goes on: the other child is asked still
    family = Family(jar, confirmed=False)
    sagas.cancel(family.asked)
    Carrier().run([family.asked])
    assert state(family.asked) is State.FAILED
    age([family.asked])
    # When
    assert prune().runs == 0
    # Then it is there to answer its parent, which is undone for it
    for _ in range(8):
        Carrier().run(family.all)
    assert [state(run_id) for run_id in family.all] == [State.FAILED] * 3
    # And not before the parent's end is long ago
    age([family.child, family.asked])
    assert (prune().runs, there(family.all)) == (0, set(family.all))


def test_a_family_stays_while_a_child_has_ended_lately(jar: str) -> None:
    family = Family(jar)
    age([family.parent, family.child])
    assert (prune().left, there(family.all)) == (3, set(family.all))
    age([family.asked])
    assert prune().runs == 3


def test_a_child_whose_parent_is_gone_by_hand_goes_like_any_run(jar: str) -> None:
    family = Family(jar)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sagas_run WHERE id = %s", [family.parent])
    age([family.child, family.asked])
    assert prune().runs == 2


# -- A pass ------------------------------------------------------------------------------------------------------


def test_a_pass_goes_on_where_the_last_one_was_stopped(jar: str) -> None:
    # Given five runs, of which the first is kept, and a pass that was stopped after its first batch
    ids = [ended(jar) for _ in range(5)]
    age(ids[1:])
    first = pruning.prune_batch(pruning.BY_TIME, limit=2)
    assert (first.runs, first.more) == (2, True)
    assert Pruning.objects.get(pk=pruning.BY_TIME).after == ids[2]
    # And what has become old meanwhile, behind where it stopped
    age(ids[:1])

    # When it goes on
    second = pruning.prune_batch(pruning.BY_TIME, limit=2)

    # Then it takes up the next ones
    assert (second.runs, there(ids)) == (2, {ids[0]})
    # And a whole pass begins again from the start
    assert prune().runs == 1


def test_batches_have_at_most_so_many_runs_and_families_stay_together(jar: str) -> None:
    families = [Family(jar) for _ in range(3)]
    ids = [run_id for family in families for run_id in family.all]
    age(ids)
    batch = pruning.prune_batch(pruning.BY_TIME, limit=4)
    assert (batch.runs, batch.more) == (3, True)
    # A family that is larger than a batch goes alone.
    batch = pruning.prune_batch(pruning.BY_TIME, limit=2)
    assert (batch.runs, batch.more) == (3, True)
    assert prune().runs == 3


def test_runs_whose_ids_are_not_in_order_of_time_are_pruned_too(jar: str) -> None:
    given = uuid4()
    ended(jar, run_id=given)
    age([given])
    assert pruning.prune_batch(pruning.BY_TIME, limit=10).runs in {0, 1}
    prune()
    assert there([given]) == set()


def test_two_prunes_at_once_share_the_work(jar: str) -> None:
    # Given
    ids = [ended(jar) for _ in range(12)]
    age(ids)
    done: list[int] = []

    def one() -> None:
        try:
            done.append(prune(limit=2).runs)
        finally:
            connection.close()

    # When
    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then each run was deleted once
    assert (len(done), sum(done)) == (3, 12)
    assert left_of(ids) == 0
    assert counts(jar) == (JAR - 12, 0, 12)


def test_a_run_that_somebody_works_on_is_left_to_the_next_pass(jar: str) -> None:
    # Given two old families, of one of which somebody has locked a child
    free, busy = Family(jar), Family(jar)
    age([*free.all, *busy.all])
    locked, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic():
            store.runs.lock([busy.child])
            locked.set()
            go_on.wait(30)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert locked.wait(30)
    try:
        # When
        done = prune()
    finally:
        go_on.set()
        thread.join()

    # Then nobody waited, and nothing of that family is gone
    assert (done.runs, done.left) == (3, 3)
    assert there(busy.all) == set(busy.all)
    assert prune().runs == 3


def test_an_erasure_that_waits_for_a_pruning_finds_nothing(jar: str) -> None:
    # Given an erasure that waits for the lock of a run which is about to be deleted
    run_id = ended(jar)
    Run.objects.filter(pk=run_id).update(business_key="erased")
    age([run_id])
    errors: list[Exception] = []

    def erase() -> None:
        try:
            sagas.erase(business_key="erased", by="ada")
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=erase)

    def meanwhile(_runs: Sequence[Any]) -> None:
        thread.start()
        eventually(_anyone_waits)

    # When
    assert pruning.prune(limit=10, rate=1e6, sink=meanwhile).runs == 1
    thread.join()

    # Then
    assert [type(error) for error in errors] == [sagas.RunNotFound]


def _anyone_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_person_who_ends_a_run_meanwhile_keeps_it(jar: str) -> None:
    # Given an escalated run, which a person ends while a pass goes on
    run_id = escalated(jar)
    other = ended(jar)
    age([other])

    def meanwhile(_runs: Sequence[Any]) -> None:
        sagas.resolve(run_id, outcome=State.FAILED, by="ada", note="by hand")

    # When
    pruning.prune(limit=10, rate=1e6, sink=meanwhile)

    # Then it has ended now, and not long ago
    assert there([run_id, other]) == {run_id}


# -- What is remembered ------------------------------------------------------------------------------------------


def test_no_run_gets_the_id_of_one_that_may_have_been_pruned(jar: str) -> None:
    # Given a run whose caller chose its id, and which is gone
    chosen = {"in order of time": old_id(), "of no time": uuid4(), "of the future": old_id(days=-400)}
    for run_id in chosen.values():
        ended(jar, run_id=run_id)
    age(chosen.values())
    assert prune().runs == 3

    # When it is started again
    for run_id in chosen.values():
        with transaction.atomic():
            with pytest.raises(RunPruned, match=str(run_id)):
                sagas.start(Lab, Experiment(jar=jar), run_id=run_id)
            # Then the caller's transaction can go on, and has no such run
            assert there([run_id]) == set()

    # Nor one that nobody knows, of that time; but any later one, and one that is there says so
    with pytest.raises(RunPruned):
        sagas.start(Lab, Experiment(jar=jar), run_id=old_id())
    later = sagas.start(Lab, Experiment(jar=jar), run_id=old_id(days=1))
    with pytest.raises(RunExists) as raised:
        sagas.start(Lab, Experiment(jar=jar), run_id=later)
    assert not isinstance(raised.value, RunPruned)
    # Only ids that show nothing of it need a stone.
    assert [is_buried(run_id) for run_id in chosen.values()] == [False, True, True]


def test_a_start_that_meets_the_pruning_of_its_id_is_refused(jar: str) -> None:
    # Given a start that waits for the transaction which deletes the run of its id
    run_id = ended(jar, run_id=uuid4())
    age([run_id])
    errors: list[Exception] = []

    def start() -> None:
        try:
            sagas.start(Lab, Experiment(jar=jar), run_id=run_id)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=start)

    def meanwhile(_runs: Sequence[PrunedRun]) -> None:
        # Behind the deletion of nothing yet: the pruning has locked the run, and is about to delete it.
        thread.start()

    # When
    with hooked(meanwhile):
        prune()
    thread.join()

    # Then it is not started a second time
    assert [isinstance(error, RunExists) for error in errors] == [True]
    assert there([run_id]) == set()


@contextmanager
def hooked(function: Callable[[Sequence[PrunedRun]], object], **options: Any) -> Iterator[None]:
    """Call a function at each pruning."""
    with runtime.apart():
        on_prune(**options)(function)
        yield


def test_late_messages_about_pruned_runs_are_dropped_in_silence(jar: str, caplog: pytest.LogCaptureFixture) -> None:
    # Given the messages of two runs, one with an id of its own, and one that never was
    ids = [sagas.start(Lab, Experiment(jar=jar)), sagas.start(Lab, Experiment(jar=jar), run_id=uuid4())]
    messages = claim_all()
    forward = chains(messages)
    carrier = Carrier()
    carrier.post(messages)
    carrier.run(ids)
    for run_id in ids:
        sagas.cancel(run_id)
    backward = chains(claim_all())
    carrier.post(backward)
    carrier.run(ids)
    never = uuid4()
    age(ids)
    assert prune().runs == 2

    # When they come again
    for chain in [*forward, *backward]:
        performed, following = deliver(replace(chain, ids=(*chain.ids, never)))

        # Then only of what never was it is said
        assert (performed.survivors, performed.unknown, performed.messages, following) == ([], [never], [], None)
    # And so for deadlines, and for code that this worker does not have
    assert lifecycle.expire_unconfirmed("lab.Lab", 99, "payment", ids, by="message") == []
    assert store.definitions.are_awaiting(ids, "lab.Lab", 1) is False
    assert store.definitions.are_awaiting([never], "lab.Lab", 1) is None
    # And who calls for one is told that it is not there
    for call in (lambda: sagas.confirm(ids[0], "approval", {}), lambda: sagas.cancel(ids[0])):
        with pytest.raises(sagas.RunNotFound):
            call()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_horizon_never_goes_back(jar: str, settings: Settings) -> None:
    age([ended(jar)])
    prune()
    (before,) = Horizon.objects.values_list("before", flat=True)
    # When runs are kept longer from now on
    keep(settings, {"*": 10 * KEPT})
    age([ended(jar)], days=10 * KEPT + 1)
    assert prune().runs == 1
    # Then ids that may be gone are refused as before
    assert Horizon.objects.get().before == before
    for change in ("UPDATE sagas_horizon SET before = before - interval '1 day'", "DELETE FROM sagas_horizon"):
        with pytest.raises(IntegrityError, match="only moves forward"), connection.cursor() as cursor:
            cursor.execute(change)


# -- The guard of the log ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["", "on"])
@pytest.mark.parametrize("which", ["live", "escalated", "young", "old"])
def test_the_log_lets_go_only_of_runs_behind_the_horizon_and_only_to_a_pruning(
    jar: str, which: str, setting: str
) -> None:
    # Given runs of all kinds, behind a pass
    age([ended(jar)])
    prune()
    runs = {
        "live": sagas.start(Lab, Experiment(jar=jar)),
        "escalated": escalated(jar),
        "young": ended(jar),
        "old": ended(jar, confirmed=False),
    }
    age([runs["old"]])

    def delete(*ids: UUID) -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('sagas.prune', %s, true)", [setting])
            cursor.execute("DELETE FROM sagas_log WHERE run_id = ANY(%s::uuid[])", [list(ids)])
            return int(cursor.rowcount)

    # When, then
    if (which, setting) == ("old", "on"):
        assert delete(runs["old"]) > 0
        # One of another kind among them, and none goes.
        with pytest.raises(IntegrityError, match="append-only"):
            delete(runs["old"], runs["young"])
    else:
        with pytest.raises(IntegrityError, match="append-only"):
            delete(runs[which])
        assert Log.objects.filter(run_id=runs[which]).exists()


@pytest.mark.parametrize("table", ["sagas_log", "sagas_horizon", "sagas_tombstone"])
def test_nobody_truncates_what_remembers_runs(jar: str, table: str) -> None:
    ended(jar)
    with pytest.raises(IntegrityError, match="cannot be truncated"), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table}")


# -- Too short ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retention", "complaint"),
    [
        ({"*": 0.5}, r"RETENTION'\]\['\*'\] keeps runs that end as FAILED for 0.5 day\(s\), and must .* 2 day"),
        ({"lab.Lab": {"FAILED": 0.9}}, r"'lab.Lab'.*FAILED for 0.9 day.*so late may a message"),
        ({"lab.Parent": 1}, "repeated"),
    ],
)
def test_a_retention_that_is_too_short_is_refused_in_one_line(
    settings: Settings, retention: dict[str, Any], complaint: str
) -> None:
    keep(settings, retention)
    with hooked(print, saga="lab.Child", keep=timedelta(days=2)):
        (problem, *_) = check_retention()
        assert problem.id == "sagas.E011"
        with pytest.raises(CommandError, match=complaint) as raised:
            command("prune")
        assert "\n" not in str(raised.value)


def test_a_retention_of_a_saga_that_the_code_lacks_is_a_warning(settings: Settings) -> None:
    keep(settings, {"lab.Gone": 30})
    assert [problem.id for problem in check_retention()] == ["sagas.W005"]


@pytest.mark.parametrize(
    "retention", [30, {"*": -1}, {"*": "long"}, {"*": {"ESCALATED": 30}}, {"*": True}, {7: 30}, {"*": float("nan")}]
)
def test_an_invalid_retention_is_refused(settings: Settings, retention: Any) -> None:
    keep(settings, retention)
    with pytest.raises(Misconfigured, match="RETENTION"):
        config()


@pytest.mark.parametrize("prune", [-1, 1001, 1.5, True, "10"])
def test_an_invalid_number_of_runs_a_tick_is_refused(settings: Settings, prune: Any) -> None:
    keep(settings, PRUNE=prune)
    with pytest.raises(Misconfigured, match="PRUNE"):
        config()


# -- The command and the tick ------------------------------------------------------------------------------------


def test_the_command_deletes_and_reports(jar: str, settings: Settings) -> None:
    ids = [ended(jar), ended(jar, confirmed=False), ended(jar)]
    age(ids)
    assert command("prune", "--dry-run").splitlines() == [
        "lab.Lab FAILED: 1 run(s) are old enough",
        "lab.Lab SUCCEEDED: 2 run(s) are old enough",
    ]
    assert there(ids) == set(ids)
    assert command("prune", "--batch", "2", "--rate", "1000").splitlines() == ["3 run(s) deleted"]
    assert there(ids) == set()
    assert command("prune", "--dry-run").splitlines() == ["no run is old enough"]
    keep(settings, {})
    with pytest.raises(CommandError, match="all runs are kept for ever"):
        command("prune")


@pytest.mark.parametrize(
    "arguments", [("--rate", "0"), ("--rate", "nan"), ("--rate", "fast"), ("--batch", "0"), ("--batch", "1001")]
)
def test_invalid_arguments_of_the_command_are_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=arguments[0]):
        command("prune", *arguments)


def test_a_tick_deletes_a_few_runs_where_the_settings_say_so(jar: str, settings: Settings) -> None:
    # Given
    ids = [ended(jar) for _ in range(3)]
    age(ids)

    def tick() -> int:
        runtime.memory.prune_after = -1.0
        pruning.prune_on_tick()
        return len(there(ids))

    # When, then
    assert tick() == 3
    keep(settings, PRUNE=2)
    assert tick() == 1
    # The next tick of any process is not due yet.
    assert tick() == 1
    Pruning.objects.update(next_at=Now())
    assert tick() == 0


def test_a_tick_does_not_wait_for_another_pass(jar: str, settings: Settings) -> None:
    # Given a pass in another process
    ids = [ended(jar)]
    age(ids)
    keep(settings, PRUNE=10)
    waits: list[float] = []

    def meanwhile(_runs: Sequence[Any]) -> None:
        def tick() -> None:
            began = time.monotonic()
            pruning.prune_on_tick()
            waits.append(time.monotonic() - began)
            connection.close()

        thread = threading.Thread(target=tick)
        thread.start()
        thread.join()

    # When a tick comes, then it goes on at once: the pass waits for it here, so it would never end else
    assert pruning.prune(limit=10, rate=1e6, sink=meanwhile).runs == 1
    assert len(waits) == 1


def test_a_tick_that_fails_does_not_stop_the_dispatch(
    jar: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a domain whose function breaks
    run_id = ended(jar)
    age([run_id])
    keep(settings, PRUNE=10)

    def breaks(_runs: Sequence[PrunedRun]) -> None:
        raise RuntimeError("not today")

    # When
    with hooked(breaks):
        pruning.prune_on_tick()
        # It is not tried again at every tick.
        assert runtime.memory.prune_after > time.monotonic() + 30

    # Then it is told with a traceback, and nothing is deleted
    assert [record.exc_info is not None for record in caplog.records if "could not be deleted" in record.message] == [
        True
    ]
    assert left_of([run_id]) > 0
    assert counts(jar) == (JAR - 1, 0, 1)


def test_functions_of_domains_are_called_for_their_sagas_before_the_runs_are_gone(jar: str) -> None:
    # Given
    mine, other = ended(jar, confirmed=False), sagas.start(Unconfirmed, Experiment())
    Carrier().run([other])
    age([mine, other])
    told: list[PrunedRun] = []
    seen: list[set[UUID]] = []

    def forget(runs: Sequence[PrunedRun]) -> None:
        told.extend(runs)
        seen.append(there([run.run_id for run in runs]))

    # When
    with hooked(forget, saga=Lab):
        assert prune().runs == 2

    # Then
    assert [(run.run_id, run.saga, run.state) for run in told] == [(mine, "lab.Lab", State.FAILED)]
    assert seen == [{mine}]
