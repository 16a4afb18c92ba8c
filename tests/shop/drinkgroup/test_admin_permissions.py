"""Who may enter the admin sees no rows, and learns of none, without a permission."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.shop.conftest import Shop

pytestmark = pytest.mark.django_db


def clerk(*permissions: str) -> Client:
    """Somebody who may enter the admin, with these permissions."""
    user = User.objects.create_user(f"clerk-{uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_a_history_does_not_tell_who_lacks_the_permission_which_rows_there_are(shop: Shop) -> None:
    # Given somebody who may enter the admin, and sees nothing there
    client = clerk()
    # When they ask for the history of a row that is there, and of one that is not
    answers = [client.get(f"/admin/inventory/sku/{code}/history/") for code in (shop.tea.code, "none")]
    answers += [client.get(f"/admin/webhooks/endpoint/{uuid4()}/history/")]
    # Then they get the same answer
    assert {answer.status_code for answer in answers} == {403}


def test_a_history_is_shown_to_who_may_see_the_row(shop: Shop) -> None:
    assert clerk("view_sku").get(f"/admin/inventory/sku/{shop.tea.code}/history/").status_code == 200


@pytest.mark.parametrize(
    ("permissions", "status"),
    [((), 403), (("view_closure",), 200), (("change_closure",), 200)],
    ids=["none", "view", "change"],
)
def test_closures_of_stores_are_listed_for_who_may_see_them(permissions: tuple[str, ...], status: int) -> None:
    assert clerk(*permissions).get("/admin/delivery/closure/").status_code == status
