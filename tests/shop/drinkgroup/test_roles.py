"""Who may what: every route with every role and every method, against one table; and the groups behind the roles."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django.db.models import Field, Model, UUIDField
from django.http import HttpResponse
from django.template.base import Template
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, include, path, reverse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from delivery.models import Closure, Store
from drinkgroup import health
from drinkgroup.roles import OPERATOR, ROLES, STAFF
from inventory.models import Sku
from orders import demo
from orders.models import Order
from tests.shop.conftest import SECRET, Api, Shop, sign

pytestmark = pytest.mark.django_db

#: Where people are sent to sign in.
SIGN_IN = {"/sign-in/", "/admin/login/"}
#: HEAD is GET without its body, and OPTIONS says which methods there are.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# -- The table ------------------------------------------------------------------------------------------------------

_ALL = ("anonymous", "customer", "staff", "operator", "superuser", "gateway")
Who = frozenset[str]
NOBODY: Who = frozenset()
ANYONE: Who = frozenset(_ALL)
SIGNED_IN: Who = frozenset({"customer", "staff", "operator", "superuser"})
STORE: Who = frozenset({"staff", "superuser"})
OPERATORS: Who = frozenset({"operator", "superuser"})
SUPERUSER: Who = frozenset({"superuser"})
GATEWAY: Who = frozenset({"gateway"})

#: By route, who is let in by each method that its view takes. Whose order or coupon it is, is no matter of roles:
#: that of another customer is not found (404).
_ROUTES: Mapping[str, Mapping[str, Who]] = {
    "healthz": {"GET": ANYONE},
    "readyz": {"GET": ANYONE},
    "workersz": {"GET": ANYONE},
    # The API.
    "api/v1/orders/": {"GET POST": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/": {"GET": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/confirm/": {"POST": GATEWAY},
    "api/v1/orders/<order_no:order_no>/cancel/": {"POST": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/events/": {"GET": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/events/ticket/": {"POST": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/rebook/": {"POST": SIGNED_IN},
    "api/v1/orders/<order_no:order_no>/refund/": {"POST": SIGNED_IN},
    "api/v1/coupons/": {"GET": SIGNED_IN},
    "api/v1/coupons/<coupon_code:code>/claim/": {"GET POST": SIGNED_IN},
    "api/v1/stores/": {"GET": SIGNED_IN},
    "api/v1/stores/<store_code:store>/slots/": {"POST": STORE},
    "api/v1/fulfilments/": {"GET": STORE},
    "api/v1/fulfilments/<order_no:order_no>/move/": {"POST": STORE},
    "api/v1/payments/webhook/<gateway:gateway>/": {"POST": GATEWAY},
    "api/v1/tokens/": {"GET DELETE": SIGNED_IN, "POST": ANYONE},
    "api/v1/tokens/<token_id:token_id>/": {"DELETE": SIGNED_IN},
    "api/v1/webhook-endpoints/": {"GET POST": SIGNED_IN},
    "api/v1/webhook-endpoints/<uuid:endpoint_id>/": {"DELETE": SIGNED_IN},
    "api/v1/webhook-endpoints/<uuid:endpoint_id>/test/": {"POST": SIGNED_IN},
    "api/v1/events/": {"GET": SIGNED_IN},
    "api/v1/campaigns/": {"GET": SIGNED_IN},
    "api/v1/campaigns/<campaign_id:campaign_id>/": {"GET": SIGNED_IN},
    "api/v1/campaigns/<campaign_id:campaign_id>/join/": {"POST": SIGNED_IN},
    "api/v1/menu/": {"GET": SIGNED_IN},
    "api/v1/slots/": {"GET": SIGNED_IN},
    "api/schema/": {"GET": ANYONE},
    "api/docs/": {"GET": ANYONE},
    "api/": {"GET POST PUT PATCH DELETE": ANYONE},
    "sagas/reports/": {"POST": GATEWAY},
    # Pages.
    "": {"GET": ANYONE},
    "favicon.ico": {"GET POST PUT PATCH DELETE": ANYONE},
    "problems/": {"GET": ANYONE},
    "problems/<slug:code>": {"GET": ANYONE},
    "language/": {"POST": ANYONE},
    "sign-in/": {"GET POST PUT": ANYONE},
    "sign-out/": {"POST": ANYONE},
    "password/": {"GET POST PUT": SIGNED_IN},
    "order/": {"GET POST": SIGNED_IN},
    "orders/": {"GET": SIGNED_IN},
    "orders/<order_no:order_no>/": {"GET": SIGNED_IN},
    "orders/<order_no:order_no>/cancel/": {"POST": SIGNED_IN},
    "orders/<order_no:order_no>/rebook/": {"POST": SIGNED_IN},
    "orders/<order_no:order_no>/give-back/": {"POST": SIGNED_IN},
    "stores/": {"GET": ANYONE},
    "g/<slug:slug>/": {"GET": ANYONE},
    "g/<slug:slug>/join/": {"GET POST": SIGNED_IN},
    "g/<slug:slug>/leave/": {"GET POST": SIGNED_IN},
    "g/<slug:slug>/qr.svg": {"GET": ANYONE},
    "g/<slug:slug>/events/": {"GET": ANYONE},
    "staff/": {"GET": STORE},
    "staff/<slug:code>/": {"GET": STORE},
    "staff/<slug:code>/slots/": {"GET POST": STORE},
    "staff/<slug:code>/move/": {"POST": STORE},
    "staff/<slug:code>/refuse/<slug:order_no>/": {"GET": STORE},
    # The admin, but for the pages of models.
    "admin/": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/login/": {"GET POST PUT": ANYONE},
    # Who is not in the admin is sent to its begin, whatever the method.
    "admin/logout/": {"POST": ANYONE, "GET PUT PATCH DELETE": ANYONE - OPERATORS},
    "admin/password_change/": {"GET POST PUT": OPERATORS},
    "admin/password_change/done/": {"GET": OPERATORS},
    "admin/autocomplete/": {"GET": NOBODY},
    "admin/jsi18n/": {"GET": OPERATORS},
    "admin/r/<path:content_type_id>/<path:object_id>/": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/^(?P<app_label>…)/$": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/(?P<url>.*)$": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/auth/user/<id>/password/": {"GET POST PUT PATCH DELETE": SUPERUSER},
    "admin/otp_totp/totpdevice/<int:pk>/config/": {"GET POST PUT PATCH DELETE": SUPERUSER},
    "admin/otp_totp/totpdevice/<int:pk>/qrcode/": {"GET POST PUT PATCH DELETE": SUPERUSER},
    "admin/sagas/run/<uuid:run_id>/export/": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/inventory/batch/<path:key>/explain/": {"GET POST PUT PATCH DELETE": OPERATORS},
    "admin/sagas/run/overview/": {"GET": OPERATORS},
    "admin/sagas/run/overview/live/": {"GET": OPERATORS},
    "admin/sagas/run/service-levels/": {"GET": OPERATORS},
    "admin/sagas/run/heat-map/": {"GET": OPERATORS},
    "admin/sagas/run/heat-map/runs/": {"GET": OPERATORS},
    "admin/orders/finding/<int:number>/repair/": {"GET POST PUT PATCH DELETE": OPERATORS},
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Who may see, add, change and delete the rows of a model in the admin."""

    view: Who
    add: Who = NOBODY
    change: Who = NOBODY
    delete: Who = NOBODY

    def routes(self, model: str) -> Iterator[tuple[str, Mapping[str, Who]]]:
        """The lines of the model's pages. Django takes every method there, and whatever is not POST as GET."""
        row = f"admin/{model}/<path:object_id>/"
        # An action has a permission of its own.
        yield f"admin/{model}/", _any(self.view)
        yield f"admin/{model}/add/", _any(self.add)
        yield f"{row}history/", _any(self.view)
        yield f"{row}delete/", _any(self.delete)
        yield f"{row}change/", {"GET PUT PATCH DELETE": self.view, "POST": self.change}
        # It leads to the page of changes.
        yield row, _any(OPERATORS)


def _any(who: Who) -> Mapping[str, Who]:
    return {" ".join(METHODS): who}


_READ = Rows(view=OPERATORS)
_EDIT = Rows(view=SUPERUSER, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER)
_MODELS: Mapping[str, Rows] = {
    "auth/user": _EDIT,
    "auth/group": _EDIT,
    "knox/authtoken": _EDIT,
    "otp_totp/totpdevice": _EDIT,
    "otp_static/staticdevice": _EDIT,
    "axes/accessattempt": Rows(view=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "axes/accesslog": Rows(view=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "axes/accessfailurelog": Rows(view=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "sagas/run": _READ,
    "sagas/breaker": _READ,
    "sagas/escalation": _READ,
    "sagas/lock": _READ,
    "sagas/pause": Rows(view=OPERATORS, add=OPERATORS, change=OPERATORS),
    "sagas/shareddecision": _READ,
    "inventory/sku": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "inventory/batch": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER),
    "inventory/move": _READ,
    "inventory/skuhold": _READ,
    "coupons/coupon": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "coupons/grant": _READ,
    "delivery/slot": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "delivery/store": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER),
    "delivery/closure": Rows(view=OPERATORS, add=SUPERUSER, delete=SUPERUSER),
    "delivery/fulfilment": _READ,
    "payments/payment": Rows(view=OPERATORS, change=SUPERUSER),
    "payments/refund": Rows(view=OPERATORS, change=SUPERUSER),
    "payments/paymentevent": _READ,
    "campaigns/campaign": Rows(view=OPERATORS, add=SUPERUSER, change=SUPERUSER),
    "campaigns/member": _READ,
    "campaigns/change": _READ,
    "webhooks/endpoint": _READ,
    "webhooks/event": _READ,
    "orders/order": _READ,
    "orders/finding": _READ,
}


def table() -> dict[str, dict[str, Who]]:
    """By route and method, who is let in."""
    lines = dict(_ROUTES)
    for model, rows in _MODELS.items():
        lines.update(rows.routes(model))
    return {
        route: {method: who for methods, who in line.items() for method in methods.split()}
        for route, line in lines.items()
    }


# -- The routes -----------------------------------------------------------------------------------------------------


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    """Every route below these patterns, as it is written; the apps of the admin, which are a choice in it, as "…"."""
    for pattern in patterns:
        route = before + re.sub(r"(?<=<app_label>)[\w|]+", "…", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def all_routes() -> list[str]:
    """Those of the resolver, and the probes, which are answered before it."""
    patterns: Any = get_resolver().url_patterns
    return [*(probe.removeprefix("/") for probe in health._PROBES), *routes(patterns)]


def test_every_route_has_one_line_and_every_line_a_route() -> None:
    found = all_routes()
    assert len(found) == len(set(found))
    assert set(found) == table().keys()


def test_a_route_that_is_added_anywhere_is_found() -> None:
    def view(_request: Any) -> HttpResponse:
        return HttpResponse()

    added: list[Any] = [path("new/", view), path("more/", include([path("<int:number>/", view)]))]
    assert {*routes(added)} - table().keys() == {"new/", "more/<int:number>/"}


# -- The walk -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a role.

    Attributes:
        name: the role.
        token: of the API; none where empty.
        cookies: of the pages.
        signs: whether it signs what it sends, as a gateway.
    """

    name: str
    token: str = ""
    cookies: SimpleCookie = field(default_factory=SimpleCookie)
    signs: bool = False

    def is_let_in(self, client: Client, method: str, url: str) -> bool:
        """Ask, undo what came of it, and tell."""
        client.cookies.clear()
        client.cookies.update(self.cookies)
        headers = {}
        if self.signs:
            headers = sign(b"", message=f"msg_{uuid4().hex}")
        elif self.token and url.startswith("/api/"):
            headers = {"Authorization": f"Token {self.token}"}
        # GET changes nothing.
        undone = None if method == "GET" else transaction.savepoint()
        response = client.generic(method, url, b"", content_type="application/json", headers=headers)
        if undone is not None:
            transaction.savepoint_rollback(undone)
        to = urlsplit(response.get("Location", "")).path
        is_sent_to_sign_in = response.status_code == 302 and to in SIGN_IN
        # 405: the view does not take the method.
        return response.status_code not in {401, 403, 405} and not is_sent_to_sign_in


def person(name: str, user: User) -> Visitor:
    client = Client()
    client.force_login(user)
    return Visitor(name, demo.token(customer=user), client.cookies)


@pytest.fixture
def _quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out what lets in nobody, and takes most of the time: sessions' rows, what is shown, and the log."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    monkeypatch.setattr(Template, "render", lambda *_: "")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def visitors(shop: Shop, settings: Settings, _quick: None) -> list[Visitor]:
    settings.SAGAS = {**settings.SAGAS, "CALLBACK_SECRET": SECRET}
    users = User.objects
    staff = users.create_user(f"staff-{uuid4().hex[:6]}")
    staff.groups.add(Group.objects.get(name=STAFF))
    operator = users.create_user(f"operator-{uuid4().hex[:6]}", is_staff=True)
    operator.groups.add(Group.objects.get(name=OPERATOR))
    boss = users.create_superuser(f"boss-{uuid4().hex[:6]}")
    return [
        Visitor("anonymous"),
        person("customer", shop.customer),
        person("staff", staff),
        person("operator", operator),
        person("superuser", boss),
        Visitor("gateway", signs=True),
    ]


@pytest.fixture
def urls(shop: Shop, api: Api) -> Mapping[str, str]:
    """By route, a URL of it, with an order and what else is there."""
    order_no = api.order(shop).body["order_no"]
    Closure.objects.create(
        store=Store.objects.get(code="main"), starts_at=shop.slot.starts_at, ends_at=shop.slot.ends_at
    )
    # Where Django's own views look for the row before they ask for the permission.
    TOTPDevice.objects.create(user=shop.customer)
    StaticDevice.objects.create(user=shop.customer)
    AccessAttempt.objects.create(username="mei", failures_since_start=1)
    AccessLog.objects.create(username="mei")
    AccessFailureLog.objects.create(username="mei")
    values = {
        "order_no": order_no,
        "store": "main",
        "gateway": "main",
        "token_id": "current",
        "endpoint_id": str(uuid4()),
        "campaign_id": "1",
        "slug": "none",
        "content_type_id": "0",
        "object_id": "0",
        "number": "0",
        "app_label": "orders",
        "url": "nowhere",
        "id": str(shop.customer.pk),
        "pk": str(TOTPDevice.objects.get().pk),
        "key": shop.tea.pk,
        "run_id": str(Order.objects.get(order_no=order_no).run_id),
    }
    codes = {"staff/": "main", "problems/": "not-found", "api/": shop.coupon()}

    def url(route: str) -> str:
        here = dict(values)
        here["code"] = next((code for begin, code in codes.items() if route.startswith(begin)), "")
        if found := re.match(r"admin/(\w+)/(\w+)/<path:object_id>", route):
            here["object_id"] = key(apps.get_model(found[1], found[2]))
        plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route).replace("^", "").replace("$", "")
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda name: str(here[name[1]]), plain)

    return {route: url(route) for route in all_routes()}


def key(model: type[Model]) -> Any:
    """That of a row; where there is none, one that might be."""
    primary: Field[Any, Any] = model._meta.pk
    first = model._default_manager.values_list("pk", flat=True).first()
    return first if first is not None else UUID(int=0) if isinstance(primary, UUIDField) else 0


def takes_long(route: str, method: str) -> bool:
    """Whether it is a page of a model in the admin, asked in a way that Django takes as GET there."""
    found = re.match(r"admin/(\w+/\w+)/(?:<path:object_id>/)?(\w*)", route)
    if found is None or found[1] not in _MODELS or method == "GET":
        return False
    return method != "POST" or found[2] not in {"add", "change", "delete"}


@pytest.mark.parametrize("rest", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_role_is_let_in_exactly_where_the_table_says(
    visitors: list[Visitor], urls: Mapping[str, str], rest: bool
) -> None:
    # Given an order, and somebody of each role
    assert tuple(visitor.name for visitor in visitors) == _ALL
    # One client, for each loads the middleware anew.
    client, differences = Client(), []
    for route, line in table().items():
        for method in METHODS:
            if takes_long(route, method) is not rest:
                continue
            # When each of them asks; by a method that the view does not take, those who are let in anywhere
            asking = [one for one in visitors if method in line or one.name in {"superuser", "gateway"}]
            let_in = {visitor.name for visitor in asking if visitor.is_let_in(client, method, urls[route])}
            # Then those are let in whom the line names
            if let_in != (wanted := line.get(method, NOBODY)):
                differences.append(f"{method} {route}: {sorted(let_in)} instead of {sorted(wanted)}")
    assert not differences, "\n".join(differences)


def test_what_is_another_customers_is_found_by_no_route(
    shop: Shop, api: Api, stranger: Api, urls: Mapping[str, str]
) -> None:
    # Given every route that names an order, and somebody who may use them, for orders of their own
    user = User.objects.get(auth_token_set__token_key=stranger.token[:15])
    client = Client()
    client.force_login(user)
    asked = [(route, method) for route, line in table().items() if "<order_no" in route for method in line]
    asked = [(route, method) for route, method in asked if table()[route][method] == SIGNED_IN]
    assert len(asked) > 8
    # When
    for route, method in asked:
        headers = {"Authorization": f"Token {stranger.token}"} if route.startswith("api/") else {}
        body = json.dumps({"slot": shop.slot.pk} if route.endswith("rebook/") else {}).encode()
        answer = client.generic(method, urls[route], body, content_type="application/json", headers=headers)
        # Then
        assert answer.status_code == 404, (method, route, answer.status_code)


# -- The groups -----------------------------------------------------------------------------------------------------


def permissions(group: Group) -> set[str]:
    return {f"{app}.{name}" for app, name in group.permissions.values_list("content_type__app_label", "codename")}


def test_the_database_has_a_group_for_each_role_with_its_permissions_and_no_others() -> None:
    assert {group.name: permissions(group) for group in Group.objects.all()} == dict(ROLES)


def test_a_migrate_puts_a_role_right_and_keeps_its_members(shop: Shop) -> None:
    # Given a role that somebody has changed by hand, with a member, and one that was deleted
    staff = Group.objects.get(name=STAFF)
    shop.customer.groups.add(staff)
    staff.permissions.set(Permission.objects.filter(codename="delete_user"))
    Group.objects.get(name=OPERATOR).delete()
    # When the database is migrated, twice
    for _ in range(2):
        call_command("migrate", verbosity=0)
    # Then both have what they should, and the member is one
    assert {group.name: permissions(group) for group in Group.objects.all()} == dict(ROLES)
    assert shop.customer.groups.get() == staff


def test_who_may_enter_the_admin_and_no_more_is_not_told_which_rows_there_are(shop: Shop) -> None:
    # Given somebody who may enter the admin, and sees nothing there
    clerk = User.objects.create_user(f"clerk-{uuid4().hex[:6]}", is_staff=True)
    client = Client()
    client.force_login(clerk)
    # When they ask for the history of a row that is there, and of one that is not, of everything that the admin has
    there = {Sku: shop.tea.code, User: clerk.pk, Group: Group.objects.values_list("pk", flat=True)[0]}
    rows = [(model, name) for model in admin.site._registry for name in ("0", there.get(model, "none"))]
    urls = [reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_history", args=[name]) for model, name in rows]
    # Then they get the same answer
    assert {url: client.get(url).status_code for url in urls} == dict.fromkeys(urls, 403)
    # And the closures of stores, which nobody may change, are not for everybody to see
    assert client.get("/admin/delivery/closure/").status_code == 403
