"""A customer logs in for a token, sees their own, and takes them back; each ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client, TestCase
from django.utils import timezone
from knox.models import AuthToken
from pytest_django import Settings

from orders.api import tokens
from orders.api.protocol import authentication
from orders.api.protocol.authentication import TokenAuthentication
from tests.shop.conftest import Api, Reply, Shop
from tests.support.statements import SentStatements

TOKENS = "/api/v1/tokens/"
MENU = "/api/v1/menu/"
PASSWORD = " a password of the tests "


@pytest.fixture
def customer(shop: Shop) -> User:
    shop.customer.set_password(PASSWORD)
    shop.customer.save()
    return shop.customer


def log_in(username: str, password: Any = PASSWORD, **more: Any) -> Reply:
    return Api().post(TOKENS, {"username": username, "password": password, **more})


def test_a_customer_logs_in_and_orders(customer: User, shop: Shop) -> None:
    reply = log_in(customer.username)
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.body["token"].startswith(reply.body["id"])
    ends = datetime.fromisoformat(reply.body["expires_at"]) - timezone.now()
    assert timedelta(days=29) < ends <= timedelta(days=30)
    assert Api(reply.body["token"]).order(shop).status == 202
    customer.refresh_from_db()
    assert customer.last_login is not None


def _switched_off(user: User) -> User:
    user.is_active = False
    user.save()
    return user


@pytest.mark.parametrize(
    "attempt",
    [
        lambda user: log_in(user.username, "wrong"),
        lambda user: log_in(user.username, PASSWORD.strip()),
        lambda _: log_in("nobody-of-that-name"),
        lambda user: log_in(user.username.upper()),
        lambda user: log_in(_switched_off(user).username),
    ],
    ids=["wrong password", "stripped password", "no such name", "other case", "switched off"],
)
def test_a_failed_login_does_not_reveal_whether_the_name_exists(
    customer: User, attempt: Callable[[User], Reply]
) -> None:
    reply = attempt(customer)
    assert (reply.status, reply.problem) == (401, "invalid-credentials")
    assert reply.body["detail"] == "Name and password do not fit."
    assert not AuthToken.objects.filter(user=customer).exists()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"username": None}, "#/username"),
        ({"username": "x" * 151}, "#/username"),
        ({"username": "a\x00b"}, "#/username"),
        ({"password": 5}, "#/password"),
        ({"password": ""}, "#/password"),
        ({"password": "x" * 257}, "#/password"),
        ({"pasword": "x"}, "#/pasword"),
    ],
)
def test_an_invalid_login_is_refused(customer: User, change: dict[str, Any], pointer: str) -> None:
    reply = Api().post(TOKENS, {"username": customer.username, "password": PASSWORD, **change})
    assert (reply.status, reply.pointers) == (422, [pointer])


@pytest.mark.parametrize("name", ["theirs", "nobody's"])
def test_guesses_are_throttled_before_the_password_is_checked(customer: User, settings: Settings, name: str) -> None:
    username = customer.username if name == "theirs" else "nobody-of-that-name"
    settings.LOGIN_FAILURES = {"both": 3, "address": 100, "name": 100}
    assert [log_in(username, "wrong").status for _ in range(4)] == [401, 401, 429, 429]
    # Then not even the right one is
    reply = log_in(username)
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (429, "too-many-requests", "900")
    # And it is over in time
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert log_in(username).status == (201 if name == "theirs" else 401)


def test_logins_of_an_address_are_counted(customer: User, settings: Settings) -> None:
    settings.LOGINS_PER_MINUTE = 2
    assert [log_in(customer.username).status for _ in range(3)] == [201, 201, 429]


def test_an_expired_token_does_not_prevent_a_login(customer: User) -> None:
    reply = Api("wrong").post(TOKENS, {"username": customer.username, "password": PASSWORD})
    assert reply.status == 201


def test_a_customer_sees_their_own_tokens(customer: User, stranger: Api) -> None:
    first, second = (log_in(customer.username).body for _ in range(2))
    reply = Api(first["token"]).get(TOKENS)
    assert reply.status == 200
    assert [(token["id"], token["current"]) for token in reply.body] == [(second["id"], False), (first["id"], True)]
    assert "token" not in reply.body[0]
    assert [token["current"] for token in stranger.get(TOKENS).body] == [True]


@pytest.mark.parametrize("which", ["id", "current"])
def test_a_revoked_token_is_refused(customer: User, which: str) -> None:
    first, second = (log_in(customer.username).body for _ in range(2))
    by = Api(first["token"] if which == "current" else second["token"])
    assert by.call("DELETE", f"{TOKENS}{'current' if which == 'current' else first['id']}/").status == 204
    assert Api(first["token"]).get(TOKENS).status == 401
    assert Api(second["token"]).get(TOKENS).status == 200


def test_a_customer_cannot_revoke_anothers_token(customer: User, stranger: Api) -> None:
    mine = log_in(customer.username).body
    reply = stranger.call("DELETE", f"{TOKENS}{mine['id']}/")
    assert (reply.status, reply.problem) == (404, "token-not-found")
    assert Api(mine["token"]).get(TOKENS).status == 200


def test_all_tokens_are_revoked_at_once(customer: User, stranger: Api) -> None:
    mine = [log_in(customer.username).body["token"] for _ in range(3)]
    assert Api(mine[0]).call("DELETE", TOKENS).status == 204
    assert {Api(token).get(TOKENS).status for token in mine} == {401}
    assert stranger.get(TOKENS).status == 200


def test_without_a_token_the_list_is_refused(anyone: Api, shop: Shop) -> None:
    assert anyone.get(TOKENS).status == 401
    assert anyone.call("DELETE", TOKENS).status == 401
    assert anyone.call("DELETE", f"{TOKENS}current/").status == 401


@pytest.mark.parametrize("had_an_end", [True, False])
def test_a_token_expires(customer: User, had_an_end: bool) -> None:
    secret = log_in(customer.username).body["token"]
    token = AuthToken.objects.filter(user=customer)
    ago = timezone.now() - timedelta(days=30, seconds=1)
    token.update(created=ago, expiry=ago + timedelta(days=30) if had_an_end else None)
    assert Api(secret).get(TOKENS).status == 401
    # And it is swept, by the next login or by cron
    call_command("sweep")
    assert not token.exists()


def test_a_token_without_an_expiry_expires_like_others(customer: User) -> None:
    secret = log_in(customer.username).body["token"]
    AuthToken.objects.filter(user=customer).update(expiry=None)
    (told,) = Api(secret).get(TOKENS).body
    assert datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["created_at"]) == tokens.lifetime()


def test_staff_list_tokens_and_revoke_one(customer: User, admin_client: Client) -> None:
    # Given
    secret = log_in(customer.username).body["token"]
    token = AuthToken.objects.get(user=customer)
    # Then the list names the customer and the token's id, and not the digest
    page = admin_client.get("/admin/knox/authtoken/", {"q": customer.username}).content.decode()
    assert customer.username in page
    assert token.token_key in page
    assert f">{token.digest}" not in page
    # And it can be taken back
    chosen = {"action": "delete_selected", "_selected_action": [token.pk], "post": "yes"}
    assert admin_client.post("/admin/knox/authtoken/", chosen).status_code == 302
    assert Api(secret).get(TOKENS).status == 401


def test_the_oldest_of_too_many_tokens_is_revoked(customer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    made = [log_in(customer.username).body["token"] for _ in range(3)]
    assert [Api(token).get(TOKENS).status for token in made] == [401, 200, 200]
    assert AuthToken.objects.filter(user=customer).count() == 2


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(authentication, "clock", clock)
    return clock


def _reads(api: Api) -> int:
    """How often a valid request reads the table of the tokens."""
    with SentStatements(connection) as asked:
        assert api.get(MENU).status == 200
    return sum('FROM "knox_authtoken"' in query["sql"] for query in asked.captured_queries)


def test_a_valid_token_is_read_once_in_five_seconds(customer: User, clock: _Clock) -> None:
    api = Api(log_in(customer.username).body["token"])
    assert _reads(api) == 1
    clock.now += 4.9
    assert _reads(api) == 0
    clock.now += 0.2
    assert _reads(api) == 1


def test_a_wrong_token_is_never_remembered(customer: User, clock: _Clock) -> None:
    wrong = Api("0" * 64)
    assert wrong.get(MENU).status == wrong.get(MENU).status == 401


@pytest.mark.parametrize(
    "withdraw",
    [
        lambda user: AuthToken.objects.filter(user=user)._raw_delete("default"),
        lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    ],
    ids=["its token deleted", "its user made inactive"],
)
def test_what_another_process_has_withdrawn_is_refused_within_five_seconds(
    withdraw: Callable[[User], object], customer: User, clock: _Clock
) -> None:
    api = Api(log_in(customer.username).body["token"])
    assert api.get(MENU).status == 200
    # When it is withdrawn unseen by this process
    withdraw(customer)
    clock.now += authentication.REMEMBERED
    assert api.get(MENU).status == 401


@pytest.mark.parametrize(
    "withdraw",
    [
        lambda api, _: api.call("DELETE", f"{TOKENS}current/"),
        lambda api, _: api.call("DELETE", TOKENS),
        lambda _, user: _switched_off(user),
        lambda _, user: AuthToken.objects.get(user=user).delete(),
    ],
    ids=["revoked", "all revoked", "user made inactive", "deleted in the admin"],
)
def test_what_this_process_has_withdrawn_is_refused_at_once(
    withdraw: Callable[[Api, User], object], customer: User, clock: _Clock
) -> None:
    api = Api(log_in(customer.username).body["token"])
    assert api.get(MENU).status == 200
    withdraw(api, customer)
    assert api.get(MENU).status == 401


@pytest.mark.django_db
def test_who_registers_leaves_nothing_to_do_after_the_commit() -> None:
    with TestCase.captureOnCommitCallbacks() as callbacks:
        AuthToken.objects.create(user=User.objects.create_user("new"))
    assert callbacks == []


def test_a_remembered_token_ends_at_its_time(customer: User, clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(log_in(customer.username).body["token"])
    assert api.get(MENU).status == 200
    now = timezone.now() + timedelta(days=31)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert api.get(MENU).status == 401


def test_a_token_that_was_read_before_it_was_withdrawn_is_not_remembered_after(
    customer: User, clock: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(log_in(customer.username).body["token"])
    read = TokenAuthentication._read

    def withdrawn_after_the_read(self: Any, digest: str) -> Any:
        found = read(self, digest)
        AuthToken.objects.get(user=customer).delete()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(TokenAuthentication, "_read", withdrawn_after_the_read)
        assert api.get(MENU).status == 200
    assert api.get(MENU).status == 401
