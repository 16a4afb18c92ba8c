"""The page of findings: read-only, and a repair needs a permission and a reason."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from inventory.models import Batch, Move
from orders.reconciliation.models import Finding
from tests.shop.reconciliation.conftest import Scene, corrupt, reconcile

pytestmark = pytest.mark.usefixtures("undone_again")


@pytest.fixture
def finding(scene: Scene) -> Finding:
    """Cups out of nothing."""
    corrupt("UPDATE inventory_batch SET available = available + 50 WHERE key = %(tea)s", {"tea": scene.shop.tea.code})
    reconcile()
    return Finding.objects.get()


def browser(*permissions: str, csrf: bool = False) -> Client:
    person = get_user_model()._default_manager.create(username="mei", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(person)
    return client


def pages(finding: Finding) -> tuple[str, str]:
    return (
        reverse("admin:orders_finding_change", args=[finding.pk]),
        reverse("admin:orders_finding_repair", args=[finding.pk]),
    )


def test_the_page_names_row_and_numbers_and_offers_the_repair_to_those_who_may(finding: Finding) -> None:
    page, repair = pages(finding)
    client = browser("view_finding", "repair_finding")
    listed = client.get(reverse("admin:orders_finding_changelist")).content.decode()
    assert finding.row in listed
    shown = client.get(page).content.decode()
    assert "and its ledger comes to" in shown
    assert repair in shown


def test_who_may_only_look_cannot_repair(finding: Finding, scene: Scene) -> None:
    page, repair = pages(finding)
    client = browser("view_finding")
    assert repair not in client.get(page).content.decode()
    assert client.get(repair).status_code == 403
    assert client.post(repair, {"reason": "counted"}).status_code == 403
    finding.refresh_from_db()
    assert finding.resolved_at is None


def test_a_repair_is_shown_first_and_made_with_a_reason(finding: Finding, scene: Scene) -> None:
    _, repair = pages(finding)
    client = browser("view_finding", "repair_finding")
    before = Batch.objects.get(pk=scene.shop.tea.code).available
    # When it is looked at, or sent without a reason, nothing changes
    assert "The repair would:" in client.get(repair).content.decode()
    assert "This field is required" in client.post(repair, {"reason": " "}).content.decode()
    assert Batch.objects.get(pk=scene.shop.tea.code).available == before
    # When it is made
    done = client.post(repair, {"reason": "counted"}, follow=True)
    # Then
    assert "It is right now." in done.content.decode()
    assert Batch.objects.get(pk=scene.shop.tea.code).available == before - 50
    move = Move.objects.order_by("-id").first()
    assert move is not None
    assert (move.by, move.reason) == ("mei", "repaired: counted")
    # And a second one is refused
    assert "resolved already" in client.post(repair, {"reason": "counted"}, follow=True).content.decode()


def test_another_site_cannot_have_it_made(finding: Finding) -> None:
    _, repair = pages(finding)
    client = browser("view_finding", "repair_finding", csrf=True)
    assert client.post(repair, {"reason": "counted"}).status_code == 403
    assert Finding.objects.filter(pk=finding.pk, resolved_at=None).exists()
