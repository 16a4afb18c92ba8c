"""What the workers check on their ticks: what changed, and everything once in a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from orders.models import Order
from orders.reconciliation import checking, passes
from orders.reconciliation.invariants import by_walk
from orders.reconciliation.models import Finding, ReconciliationPass, WatchedRun
from sagas import runtime
from sagas.invariants import RUNS
from sagas.models import Run
from tests.shop.reconciliation.conftest import Scene, corrupt

pytestmark = pytest.mark.usefixtures("undone_again")


@pytest.fixture(autouse=True)
def _often(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RECONCILE_SECONDS = 300
    # A slow machine checks everything on one tick, too.
    monkeypatch.setattr(passes, "BUDGET", 60.0)


def tick() -> int:
    """A tick of a process that has just started."""
    return passes.Sweeper().sweep()


def found() -> list[str]:
    return list(Finding.objects.filter(resolved_at=None).order_by("invariant").values_list("invariant", flat=True))


def time_passes(**by: int) -> None:
    """Let the passes be due, as if so much time had passed; what changed before the last pass is old."""
    then = timezone.now() - timedelta(**by)
    ReconciliationPass.objects.update(next_at=then)


def only_what_changes() -> None:
    """Leave the passes over everything to another day."""
    ReconciliationPass.objects.filter(name__startswith="whole").update(next_at=timezone.now() + timedelta(days=1))


def test_a_tick_finds_what_changed_and_the_next_one_finds_nothing_due(scene: Scene) -> None:
    assert tick() > 10
    assert found() == []
    corrupt("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(run)s", {"run": scene.run(scene.paid)})
    assert tick() == 0
    time_passes(seconds=1)
    assert tick() > 10
    assert found() == ["orders.status"]
    # When it is right again, it is resolved, although the run is old
    Order.objects.filter(order_no=scene.paid).update(status="CONFIRMED")
    ReconciliationPass.objects.update(since=timezone.now() + timedelta(hours=1))
    only_what_changes()
    ReconciliationPass.objects.filter(name__startswith="changed").update(next_at=timezone.now())
    tick()
    assert found() == []


def test_a_run_that_ends_is_checked_again_however_long_ago_it_began(scene: Scene) -> None:
    # Given a pass that saw the run waiting
    run_id = scene.run(scene.waiting)
    tick()
    assert WatchedRun.objects.filter(run_id=run_id).exists()
    ReconciliationPass.objects.update(since=timezone.now() + timedelta(hours=1))
    # When it ends, and its holds stay
    corrupt(
        "UPDATE sagas_run SET state = 'FAILED', due_at = NULL, finished_at = now() - interval '1 hour' "
        "WHERE id = %(run)s",
        {"run": run_id},
    )
    time_passes(seconds=1)
    only_what_changes()
    tick()
    # Then it is found, and not watched any more
    assert "runs.logged" in found()
    assert not WatchedRun.objects.filter(run_id=run_id).exists()


def test_the_pass_over_everything_finds_what_no_change_shows(scene: Scene) -> None:
    # Given a shop in which nothing changes any more
    passes.begin()
    WatchedRun.objects.all().delete()
    ReconciliationPass.objects.update(since=timezone.now() + timedelta(hours=1))
    corrupt("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(run)s", {"run": scene.run(scene.paid)})
    only_what_changes()
    tick()
    assert found() == []
    ReconciliationPass.objects.filter(name__startswith="whole").update(next_at=timezone.now())
    tick()
    assert found() == ["orders.status"]


def test_a_pass_goes_on_where_the_last_part_ended(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given parts of two runs
    monkeypatch.setattr(checking, "PART", 2)
    passes.begin()
    name = f"whole {RUNS.name}"
    ReconciliationPass.objects.exclude(name=name).update(next_at=timezone.now() + timedelta(days=1))
    ids = [str(run_id) for run_id in Run.objects.order_by("pk").values_list("pk", flat=True)]
    seen = []
    # When each tick checks the next one
    for _ in range(len(ids) // 2 + 1):
        ReconciliationPass.objects.filter(name=name).update(next_at=timezone.now())
        assert tick() == 1
        seen.append(ReconciliationPass.objects.get(name=name).after)
    # Then all are checked, and the next pass is another day's
    assert seen == [*ids[1::2], ""]
    again = ReconciliationPass.objects.get(name=name)
    assert again.next_at > timezone.now() + timedelta(hours=23)
    assert again.began_at is None


def test_a_part_that_takes_too_long_is_given_up_and_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    passes.begin()
    ReconciliationPass.objects.exclude(name=f"whole {RUNS.name}").update(next_at=timezone.now() + timedelta(days=1))
    monkeypatch.setattr(passes, "PATIENCE", 50)
    slow = replace(by_walk()[RUNS][0], sql="SELECT '' AS key, '' AS row, NULL AS run_id, '{}' AS data FROM pg_sleep(5)")
    monkeypatch.setattr(passes, "by_walk", lambda: {RUNS: [slow]})
    assert tick() == 1
    given_up = ReconciliationPass.objects.get(name=f"whole {RUNS.name}")
    assert given_up.after == ""
    assert given_up.next_at > timezone.now() + timedelta(minutes=4)


def test_each_worker_asks_on_its_ticks() -> None:
    assert passes.sweep in runtime.declared.tick_hooks


def test_workers_check_nothing_where_the_shop_does_not_want_it(scene: Scene, settings: Settings) -> None:
    settings.RECONCILE_SECONDS = 0
    assert tick() == 0
    assert not ReconciliationPass.objects.exists()


def test_every_row_is_walked_over_once_whatever_its_key_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PART", 3)
    monkeypatch.setattr(checking, "POOLS", 3)
    # Numbers of one digit and of two: as texts they have another order.
    walked: dict[str, list[str]] = {}
    for part in checking.check_all():
        walked.setdefault(part.walk.name, []).extend(part.keys)
    for walk in by_walk():
        every = f"SELECT DISTINCT {walk.column}::text FROM {walk.table}"  # noqa: S608 - ours
        assert sorted(walked[walk.name]) == sorted(checking.texts(every, {})), walk.name
    assert len(walked["coupons_grant.id"]) >= 4
    assert len(walked["payments_payment.id"]) >= 7
