"""Lists of the API: cursors under changes, filters, orders; and what is wrong with a query is said of its parameter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from coupons.models import Coupon, Grant
from delivery.models import Fulfilment, Slot, Store
from inventory.models import Batch
from orders import demo
from orders.models import Order
from tests.shop.conftest import ORDERS, Api, Shop
from tests.shop.groups.conftest import a_campaign

pytestmark = pytest.mark.django_db

QUEUE, COUPONS, CAMPAIGNS = "/api/v1/fulfilments/", "/api/v1/coupons/", "/api/v1/campaigns/"
#: Lists without pages, and what bounds them.
BOUNDED = {
    "/api/v1/menu/": "the drinks of the shop",
    "/api/v1/slots/": "the slots that still take orders",
    "/api/v1/stores/": "the stores",
    "/api/v1/tokens/": "twenty a customer",
    "/api/v1/webhook-endpoints/": "a customer registers few, by a limit",
}
#: It has a place of its own, behind which none is missed.
FEED = "/api/v1/events/"


def rows_of(first: Any, api: Api) -> list[dict[str, Any]]:
    """All rows of a list, from a page on."""
    found = list(first["results"])
    while first["next"]:
        first = api.get(first["next"]).body
        found += first["results"]
    return found


@pytest.fixture
def store() -> Store:
    return Store.objects.create(code=f"s-{uuid4().hex[:8]}", name="A store", timezone="Asia/Shanghai")


@pytest.fixture
def staff() -> Api:
    mei = get_user_model()._default_manager.create(username=f"mei-{uuid4().hex[:6]}")
    mei.user_permissions.add(Permission.objects.get(codename="fulfil", content_type__app_label="delivery"))
    return Api(demo.token(customer=mei))


def work(store: Store, number: int, **changes: Any) -> list[Fulfilment]:
    """So many orders in a store's queue, all due at the same time unless it is said otherwise."""
    at = timezone.now()
    defaults = {"due_at": at, "kind": "SLOT", "slot": 1, "lines": [["TEA", 1]]}
    return Fulfilment.objects.bulk_create(
        Fulfilment(store=store, run_id=uuid4(), order_no=f"ORD-{uuid4().hex[:20]}", **{**defaults, **changes})
        for _ in range(number)
    )


# -- Every list -----------------------------------------------------------------------------------------------------


def test_every_list_is_in_pages_by_a_cursor_or_is_bounded() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there
    unbounded, paged = set(), {}

    def resolved(parameter: Any) -> Any:
        reference = parameter.get("$ref")
        return document["components"]["parameters"][reference.rpartition("/")[2]] if reference else parameter

    for path, methods in document["paths"].items():
        read = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        if not read:
            continue
        schema = read["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        if schema.get("type") == "array":
            unbounded.add(path)
        elif "results" in document["components"]["schemas"].get(name, {}).get("properties", {}):
            paged[path] = {parameter["name"] for parameter in map(resolved, methods["get"]["parameters"])}
    assert unbounded == set(BOUNDED)
    assert set(paged) == {ORDERS, COUPONS, CAMPAIGNS, QUEUE, FEED}
    assert paged.pop(FEED) >= {"after", "limit", "type", "subject"}
    assert all(parameters >= {"cursor", "limit", "ordering"} for parameters in paged.values())


# -- Pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ["due_at", "-due_at"])
def test_each_row_is_read_once_while_rows_come_and_go(staff: Api, store: Store, ordering: str) -> None:
    # Given a queue, of which many are due at the same time
    at = timezone.now()
    works = [*work(store, 5, due_at=at), *work(store, 15, due_at=at + timedelta(hours=1)), *work(store, 3)]
    # When it is read page by page, and after each page its first row is refused, and new ones come
    page = staff.get(f"{QUEUE}?store={store.code}&ordering={ordering}&limit=4").body
    read = []
    while True:
        read += [row["order_no"] for row in page["results"]]
        Fulfilment.objects.filter(order_no=page["results"][0]["order_no"]).update(
            state="REFUSED", reason="no milk", changed_by="mei"
        )
        work(store, 1, due_at=at - timedelta(hours=1) if ordering == "due_at" else at + timedelta(hours=2))
        if not page["next"]:
            break
        page = staff.get(page["next"]).body
    # Then each that was there all the time was read once, in order
    by = {one.order_no: (one.due_at, one.pk) for one in works}
    assert read == sorted(by, key=lambda order_no: by[order_no], reverse=ordering == "-due_at")


def test_the_way_back_leads_over_the_same_rows(api: Api, shop: Shop) -> None:
    placed = [api.order(shop).body["order_no"] for _ in range(7)]
    pages = [api.get(f"{ORDERS}?limit=3&ordering=created_at").body]
    while pages[-1]["next"]:
        pages.append(api.get(pages[-1]["next"]).body)
    assert [[row["order_no"] for row in page["results"]] for page in pages] == [placed[:3], placed[3:6], placed[6:]]
    back = [pages[-1]]
    while back[-1]["previous"]:
        back.append(api.get(back[-1]["previous"]).body)
    assert [page["results"] for page in back] == [page["results"] for page in pages[::-1]]
    # And from there on again
    assert api.get(back[-1]["next"]).body["results"] == pages[1]["results"]


def test_a_page_that_has_become_empty_leads_back(staff: Api, store: Store) -> None:
    works = work(store, 3)
    first = staff.get(f"{QUEUE}?store={store.code}&limit=2").body
    Fulfilment.objects.filter(pk=works[-1].pk).delete()
    empty = staff.get(first["next"]).body
    assert (empty["results"], empty["next"]) == ([], None)
    assert staff.get(empty["previous"]).body["results"] == first["results"]


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "\x00", "ü", "", "YQ==", "bnVsbA", "W10", "x" * 500),
        # Of another order; a place that is none; a place that is another row; more than there is
        *("WyJpZCIsMCwxLDFd", "WyItaWQiLDAsbnVsbCwxXQ", "WyItaWQiLDAsNSw2XQ"),
        *("WyItaWQiLDIsMSwxXQ", "WyItaWQiLDAsMSwxLDFd", "WyItaWQiLDAsImEiLDFd", "W" * 300),
    ],
)
def test_a_cursor_that_no_page_has_offered_is_refused(api: Api, shop: Shop, cursor: str) -> None:
    api.order(shop)
    reply = api.get(f"{ORDERS}?cursor={quote(cursor)}")
    assert reply.status == 400
    assert reply.problem in {"invalid-cursor", "invalid-parameter"}


def test_a_cursor_is_good_for_one_order_of_the_list(staff: Api, store: Store) -> None:
    work(store, 3)
    following = staff.get(f"{QUEUE}?store={store.code}&limit=1").body["next"]
    assert staff.get(following).status == 200
    assert staff.get(f"{following}&ordering=-due_at").problem == "invalid-cursor"


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        (ORDERS, "limit=0", "limit"),
        (ORDERS, "limit=101", "limit"),
        (ORDERS, "limit=many", "limit"),
        (ORDERS, "ordering=total", "ordering"),
        (ORDERS, "status=PAID", "status"),
        (ORDERS, "slot=-1", "slot"),
        (ORDERS, "slot=99999999999999999999", "slot"),
        (ORDERS, "created_after=yesterday", "created_after"),
        (ORDERS, "created_after=2026-12-01T10:00:00", "created_after"),
        (ORDERS, "limit=2&limit=3", "limit"),
        (COUPONS, "state=REFUNDING", "state"),
        (COUPONS, "coupon=%00", "coupon"),
        (CAMPAIGNS, "state=OPENED", "state"),
        ("/api/v1/menu/", "available=yes", "available"),
        ("/api/v1/slots/", "starts_before=1", "starts_before"),
        (FEED, "after=1", "after"),
        (FEED, "type=order.eaten", "type"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(api: Api, path: str, query: str, parameter: str) -> None:
    reply = api.get(f"{path}?{query}")
    assert (reply.status, reply.problem) == (400, "invalid-parameter")
    assert [error["parameter"] for error in reply.body["errors"]] == [parameter]


# -- Filters --------------------------------------------------------------------------------------------------------


def test_orders_are_filtered(api: Api, shop: Shop) -> None:
    old, new = (api.order(shop).body["order_no"] for _ in range(2))
    Order.objects.filter(order_no=old).update(status="REJECTED", created_at=datetime(2026, 1, 1, tzinfo=UTC), slot=7)
    Order.objects.filter(order_no=new).update(campaign=3)

    def found(query: str) -> list[str]:
        return [row["order_no"] for row in rows_of(api.get(f"{ORDERS}?{query}").body, api)]

    assert found("status=REJECTED") == found("slot=7") == found("created_before=2026-01-01T00:00:01Z") == [old]
    assert found("status=RECEIVED") == found("campaign=3") == found("created_after=2026-01-01T00:00:01Z") == [new]
    assert found("status=REJECTED&campaign=3") == []
    assert found("ordering=created_at") == [old, new]
    # The cursor keeps the filters
    api.order(shop)
    assert found("limit=1&status=RECEIVED")[1:] == [new]


def test_a_queue_is_filtered(staff: Api, store: Store) -> None:
    soon, later = timezone.now(), timezone.now() + timedelta(hours=2)
    (first,) = work(store, 1, due_at=soon, kind="PICK_UP")
    Fulfilment.objects.filter(pk=first.pk).update(state="MAKING", changed_by="mei")
    (second,) = work(store, 1, due_at=later)

    def found(query: str) -> list[str]:
        return [row["order_no"] for row in staff.get(f"{QUEUE}?store={store.code}&{query}").body["results"]]

    assert found("state=MAKING") == found("kind=PICK_UP") == [first.order_no]
    assert found("state=ACCEPTED") == found("kind=SLOT") == [second.order_no]
    assert found(f"due_before={quote((soon + timedelta(hours=1)).isoformat())}") == [first.order_no]


def test_coupons_are_filtered(api: Api, shop: Shop) -> None:
    expires = timezone.now() + timedelta(days=1)
    coupon = Coupon.objects.create(
        code=f"TEA-{uuid4().hex[:8].upper()}", discount_cents=100, available=5, expires_at=expires
    )
    Grant.objects.create(
        coupon=coupon,
        customer_id=shop.customer.pk,
        nth=1,
        per_customer=1,
        state="ISSUED",
        lock_token=2**40,
        lock_expires_at=expires,
    )

    def found(query: str) -> list[str]:
        return [row["coupon"] for row in api.get(f"{COUPONS}?{query}").body["results"]]

    assert found(f"coupon=%20{coupon.code.lower()}%20") == found("state=ISSUED") == [coupon.code]
    assert found("state=USED") == found("coupon=OTHER") == []


def test_drinks_and_slots_are_filtered(api: Api, shop: Shop) -> None:
    def drinks(query: str) -> set[str]:
        return {row["sku"] for row in api.get(f"/api/v1/menu/?{query}").body}

    def slots(query: str) -> set[int]:
        return {row["id"] for row in api.get(f"/api/v1/slots/?{query}").body}

    assert shop.tea.code in drinks("available=true")
    assert shop.tea.code not in drinks("available=false")
    Batch.objects.filter(pk=shop.tea.pk).update(available=0)
    assert shop.tea.code not in drinks("available=true")
    assert shop.tea.code in drinks("available=false")
    begins = quote(shop.slot.starts_at.isoformat())
    code = Slot.objects.values_list("store__code", flat=True).get(pk=shop.slot.pk)
    assert shop.slot.pk in slots(f"store={code}&available=true&starts_after={begins}")
    assert shop.slot.pk not in slots(f"starts_before={begins}")
    assert shop.slot.pk not in slots("available=false")
    assert slots("store=nowhere") == set()


def test_settled_group_buys_are_found_by_their_state(api: Api, shop: Shop) -> None:
    at = timezone.now() + timedelta(hours=1)
    made = [a_campaign(shop, closes_at=at + timedelta(minutes=minutes)) for minutes in (3, 1, 2)]

    def found(query: str) -> list[int]:
        return [row["id"] for row in rows_of(api.get(f"{CAMPAIGNS}?limit=2&{query}").body, api)]

    one, two, three = (campaign.pk for campaign in made)
    assert found(f"sku={shop.tea.code}") == [three, two, one]
    assert found(f"sku={shop.tea.code}&ordering=closes_at") == [two, three, one]
    assert found(f"state=SETTLED&sku={shop.tea.code}") == found("sku=NONE") == []


# -- Indexes --------------------------------------------------------------------------------------------------------


def test_a_page_far_behind_is_read_by_an_index(staff: Api, store: Store) -> None:
    work(store, 2000)
    page = staff.get(f"{QUEUE}?store={store.code}&limit=100").body
    for _ in range(10):
        page = staff.get(page["next"]).body
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE delivery_fulfilment")
    with connection.execute_wrapper(_explained) as _:
        assert staff.get(page["next"]).status == 200
    assert any("delivery_queue" in plan for plan in PLANS)
    assert not any("Seq Scan on delivery_fulfilment" in plan for plan in PLANS)


PLANS: list[str] = []


def _explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if sql.startswith("SELECT") and 'FROM "delivery_fulfilment"' in sql:
        with context["connection"].connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}", params)
            PLANS.append("\n".join(line for (line,) in cursor.fetchall()))
    return execute(sql, params, many, context)
