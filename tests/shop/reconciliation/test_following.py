"""What the write-ahead log says was changed is checked at once, with corruptions that are committed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone
from private_services.postgres import FOLLOWER
from pytest_django import DjangoDbBlocker

from orders.reconciliation import checking, metrics
from orders.reconciliation.following import follower, publication
from orders.reconciliation.following.follower import Follower, open_slot
from orders.reconciliation.following.sources import TABLES, WALKS
from orders.reconciliation.models import Finding, ReconciliationPass
from sagas.models import Run
from sagas.replication import Slot
from tests.shop.reconciliation.conftest import Scene
from tests.shop.reconciliation.test_kinds import KINDS
from tests.support import tables

#: Of deleted rows the log has the identity alone. Where that leads to no key, a pass over everything is due.
LEFT_TO_A_PASS = {
    "a grant that was given back and not replaced": "coupons_grant.id",
    "a confirmed order that nobody has paid": "sagas_run.id",
    "a refund that is gone": "payments_payment.id",
}
#: Of a table that is only added to no deletion is published: the pass over everything finds it in its turn.
UNSEEN = {"an effect that is not in the log"}
#: What is taken back after each test.
KEPT = (*TABLES, "sagas_escalation")


def _url() -> str:
    """Of the database, with the role that may read slots, and nothing else."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return url._replace(netloc=url.netloc.replace("drinkgroup:", f"{FOLLOWER}:", 1)).geturl()


@pytest.fixture(scope="module")
def slot(scene: Scene, django_db_blocker: DjangoDbBlocker) -> Iterator[Slot]:
    """Prepared as by the command, and read by a role of its own."""
    with django_db_blocker.unblock():
        call_command("reconcile", "follow", "--prepare", stdout=StringIO())
        made = open_slot(_url())
        made.drop()
        yield made
        made.drop()
        made.close()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP PUBLICATION {publication.NAME}, {publication.ADDED}")
            for table, of_it in TABLES.items():
                if of_it.identity:
                    cursor.execute(f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT")


@pytest.fixture
def following(slot: Slot, django_db_blocker: DjangoDbBlocker) -> Iterator[Follower]:
    """It has read all that was committed; what the test commits is taken back afterwards."""
    with django_db_blocker.unblock():
        _forget()
        slot.drop()
        made = Follower(slot)
        assert made.poll().scanned
        # No pass is due, unless the follower asks for it.
        ReconciliationPass.objects.update(next_at=timezone.now() + timedelta(days=1))
        _keep()
        yield made
        _forget()
        _take_back()


def _forget() -> None:
    """Forget what was found, and the incidents."""
    tables.empty("orders_finding", "orders_reconciliationpass", "orders_watchedrun")
    Run.objects.filter(saga="orders.ReviewFindings").delete()


def _keep() -> None:
    with connection.cursor() as cursor:
        for table in KEPT:
            cursor.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608 - ours


def _take_back() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        _guard("DISABLE")
        for table in KEPT:
            cursor.execute(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                [table],
            )
            (columns,) = cursor.fetchone()
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
            cursor.execute(
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608 - ours
                f"SELECT {columns} FROM kept_{table}"
            )
            cursor.execute(f"DROP TABLE kept_{table}")
        _guard("ENABLE")


def _guard(how: str) -> None:
    """Disable or enable our triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in KEPT:
            cursor.execute(f"ALTER TABLE {table} {how} TRIGGER USER")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def commit(sql: str, params: dict[str, Any] | None = None) -> int:
    """Commit a statement that fires no trigger, as a restore or the owner could; return its transaction's number."""
    with transaction.atomic(), connection.cursor() as cursor:
        _guard("DISABLE")
        if "DELETE FROM sagas_run" in sql:
            cursor.execute("DELETE FROM sagas_escalation")
        cursor.execute(sql, params)
        assert cursor.rowcount >= 1
        _guard("ENABLE")
        cursor.execute("SELECT pg_current_xact_id()::text::bigint % 4294967296")
        return int(cursor.fetchone()[0])


def parameters(scene: Scene) -> dict[str, Any]:
    orders = ("paid", "undone", "waiting", "refunded", "partly", "moved", "member")
    params: dict[str, Any] = {name: scene.run(getattr(scene, name)) for name in orders}
    params |= {"tea": scene.shop.tea.code, "gone": scene.shop.gone.code, "slot": scene.shop.slot.pk}
    return params | {"coupon": scene.coupon, "formed": scene.formed.pk, "short": scene.short.pk}


#: Every third by default.
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if place % 3 else []) for place, kind in enumerate(KINDS)]
)
def test_a_corruption_is_found_at_once_with_its_transaction(scene: Scene, following: Follower, kind: str) -> None:
    # Given
    sql, wanted, whose = KINDS[kind]
    params = parameters(scene)
    # When
    xid = commit(sql, params)
    polled = following.poll()
    # Then
    if kind in UNSEEN:
        assert polled.transactions == 0
        return
    assert polled.transactions >= 1
    open_ones = Finding.objects.filter(resolved_at=None)
    found = {finding.invariant for finding in open_ones}
    if kind in LEFT_TO_A_PASS:
        due = ReconciliationPass.objects.filter(next_at__lte=timezone.now()).values_list("name", flat=True)
        assert f"whole {LEFT_TO_A_PASS[kind]}" in due
        return
    assert found & wanted, found
    named = open_ones.filter(invariant__in=wanted, data__transaction__startswith=f"{xid}, committed at ")
    assert named.exists()
    if whose is not None:
        assert params[whose] in {finding.run_id for finding in open_ones}
    # And a person is called
    called = Run.objects.filter(saga="orders.ReviewFindings").values_list("business_key", flat=True)
    assert set(called) == found
    # And what comes again is skipped
    assert following.poll().violations == ()


def test_every_table_of_an_invariant_is_followed() -> None:
    for walk, (_, invariants) in WALKS.items():
        for invariant in invariants:
            named = set(
                re.findall(
                    r"(?:FROM|JOIN)\s+((?:sagas|orders|inventory|delivery|coupons|campaigns|payments)_\w+)",
                    invariant.sql,
                )
            )
            assert named - set(TABLES) <= {"sagas_definition"}, (walk, invariant.name)
    assert {source.walk for of_it in TABLES.values() for source in of_it.sources} == set(WALKS)


def test_nothing_personal_is_published() -> None:
    published = {column for of_it in TABLES.values() for column in of_it.columns}
    assert published == {
        *("id", "run_id", "key", "code", "name", "step", "pool_key", "day", "batch", "sku", "sku_id", "order_id"),
        *("coupon_id", "replaces", "used_by_run", "payment_id", "campaign_id"),
    }


def test_what_was_found_is_on_record_before_the_slot_is_advanced(
    scene: Scene, following: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a follower that dies between both
    commit("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(paid)s", parameters(scene))

    class Killed(BaseException):
        pass

    def die(_slot: Slot, _to: int) -> None:
        raise Killed

    monkeypatch.setattr(Slot, "advance", die)
    with pytest.raises(Killed):
        following.poll()
    monkeypatch.undo()
    # Then it is on record, and the next one skips what comes again
    assert Finding.objects.filter(resolved_at=None, invariant="orders.status").count() == 1
    assert Follower(following._slot).poll().violations == ()
    assert Finding.objects.count() == 1
    # And when it dies before it is on record, it is found by the next one
    commit("UPDATE orders_order SET total_cents = total_cents + 1 WHERE run_id = %(waiting)s", parameters(scene))
    monkeypatch.setattr(Follower, "_keep", die)
    with pytest.raises(Killed):
        following.poll()
    monkeypatch.undo()
    assert not Finding.objects.filter(invariant="orders.total").exists()
    Follower(following._slot).poll()
    assert Finding.objects.filter(invariant="orders.total").exists()


def test_a_slot_that_is_lost_is_made_anew_and_everything_is_checked(scene: Scene, following: Follower) -> None:
    # Given something that nobody has read before the slot was gone
    commit("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(paid)s", parameters(scene))
    following._slot.drop()
    # When
    polled = following.poll()
    # Then
    assert polled.scanned
    assert "orders.status" in {violation.invariant for violation in polled.violations}
    assert following._slot.standing() is not None
    # And then it goes on
    commit("UPDATE orders_order SET total_cents = total_cents + 1 WHERE run_id = %(waiting)s", parameters(scene))
    assert "orders.total" in {violation.invariant for violation in following.poll().violations}


def test_one_transaction_that_changes_very_much_is_left_to_a_pass(
    scene: Scene, following: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "MOST", 3)
    following.poll()
    commit("UPDATE sagas_run SET attempt = attempt")
    assert following.poll().transactions == 1
    due = ReconciliationPass.objects.filter(next_at__lte=timezone.now()).values_list("name", flat=True)
    assert "whole sagas_run.id" in due


def test_what_is_deleted_with_an_old_run_asks_for_no_pass(scene: Scene, following: Follower) -> None:
    # When a run is pruned, with the grant that it gave back: of the grant the log tells the number alone
    commit(
        "WITH gone AS (DELETE FROM coupons_grant WHERE used_by_run = %(undone)s RETURNING used_by_run) "
        "DELETE FROM sagas_run WHERE id IN (SELECT used_by_run FROM gone)",
        parameters(scene),
    )
    assert following.poll().transactions == 1
    # Then
    due = ReconciliationPass.objects.filter(next_at__lte=timezone.now(), name__startswith="whole ")
    assert "whole sagas_run.id" not in due.values_list("name", flat=True)


def test_truncated_tables_are_checked_as_a_whole(scene: Scene, following: Follower) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE delivery_slothold")
    following.poll()
    assert "delivery.slot_counts" in set(Finding.objects.values_list("invariant", flat=True))


def test_a_scrape_says_how_much_is_open_and_how_far_the_follower_is_behind(scene: Scene, following: Follower) -> None:
    # Given a follower that is through, and then a corruption that it has not read
    following.poll()
    read = metrics.behind()[()]
    commit("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(paid)s", parameters(scene))
    assert metrics.behind()[()] > read
    assert metrics.open_findings() == {(): 0}
    # When it is read
    unread = metrics.behind()[()]
    following.poll()
    # Then
    assert metrics.open_findings() == {(): Finding.objects.filter(resolved_at=None).count()} != {(): 0}
    assert metrics.behind()[()] < unread
    # And without a slot there is nothing to be behind of
    following._slot.drop()
    assert metrics.behind() == {}


def _follow(said: StringIO) -> None:
    with override_settings(RECONCILE_FOLLOW_URL=_url()):
        call_command("reconcile", "follow", "--once", stdout=said)


def test_the_command_reads_what_is_there_and_refuses_what_is_not_prepared(scene: Scene, following: Follower) -> None:
    # Given
    commit("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(paid)s", parameters(scene))
    said = StringIO()
    # When
    _follow(said)
    # Then
    assert "orders.status" in said.getvalue()
    assert "(transaction " in said.getvalue()
    # And when a table is published otherwise
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER PUBLICATION {publication.NAME} DROP TABLE orders_order")
    with pytest.raises(CommandError, match="--prepare"):
        _follow(said)
    said = StringIO()
    call_command("reconcile", "follow", "--prepare", "--dry-run", "--role", "drinkgroup_reader", stdout=said)
    assert f"ALTER PUBLICATION {publication.NAME} SET TABLE" in said.getvalue()
    assert 'CREATE ROLE "drinkgroup_reader" LOGIN REPLICATION;' in said.getvalue()
    call_command("reconcile", "follow", "--prepare", stdout=StringIO())
    _follow(StringIO())


def test_without_a_logical_log_everything_is_checked_again_and_again(
    scene: Scene, following: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "check_all", lambda *_: iter(()))

    def refuse() -> None:
        raise publication.NotPrepared("wal_level is replica.")

    monkeypatch.setattr(publication, "check_server", refuse)
    said, complained = StringIO(), StringIO()
    call_command("reconcile", "follow", "--once", stdout=said, stderr=complained)
    assert "wal_level is replica." in complained.getvalue()
    assert "invariants at 0 keys" in said.getvalue()
