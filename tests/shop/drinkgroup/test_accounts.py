"""Signing in on the shop's pages, signing out, and changing a password."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from knox.models import AuthToken
from pytest_django import Settings

from orders import demo
from tests.shop.conftest import ORDERS, Api

SIGN_IN = "/sign-in/"
WORD = "four seasons oolong"


@pytest.fixture(autouse=True)
def _no_limit(settings: Settings) -> None:
    settings.LOGINS_PER_MINUTE = 1000


@pytest.fixture
def mei(db: None) -> User:
    return get_user_model()._default_manager.create_user(f"mei-{uuid4().hex[:8]}", password=WORD)


def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def send(client: Client, path: str, *, at: str = "", **form: str) -> Any:
    """Load a page, and send its form, as a browser does."""
    client.get(at or path)
    token = client.cookies["csrftoken"].value
    return client.post(path, {"csrfmiddlewaretoken": token, **form})


def sign_in(client: Client, user: User, password: str = WORD, **form: str) -> Any:
    return send(client, SIGN_IN, username=user.get_username(), password=password, **form)


def test_a_customer_signs_in_sees_their_orders_and_signs_out(mei: User) -> None:
    client = browser()
    # Given somebody who is sent to sign in
    asked = client.get("/orders/")
    assert asked["Location"] == "/sign-in/?next=/orders/"
    # When they sign in
    answer = sign_in(client, mei, next="/orders/")
    assert (answer.status_code, answer["Location"]) == (302, "/orders/")
    # Then their orders are there
    assert client.get("/orders/").status_code == 200
    # And when they sign out, no more
    assert send(client, "/sign-out/", at="/orders/").status_code == 302
    assert client.get("/orders/").status_code == 302


def test_a_wrong_password_lets_nobody_in_and_does_not_say_what_was_wrong(mei: User) -> None:
    client = browser()
    wrong = sign_in(client, mei, "wrong")
    unknown = send(client, SIGN_IN, username="nobody", password="wrong")
    assert (wrong.status_code, unknown.status_code) == (422, 422)
    told = "Please enter a correct username and password"
    assert told in wrong.content.decode()
    assert told in unknown.content.decode()
    assert client.get("/orders/").status_code == 302


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "https:evil.example",
        "http://testserver@evil.example/",
        "\t//evil.example",
    ],
)
def test_a_login_leads_to_no_other_site(mei: User, elsewhere: str) -> None:
    assert sign_in(browser(), mei, next=elsewhere)["Location"] == "/orders/"


def test_a_login_begins_a_new_session(mei: User) -> None:
    # Given a session that somebody has planted
    client = browser()
    planted = client.session
    planted["seen"] = "yes"
    planted.save()
    before = planted.session_key
    sign_in(client, mei)
    # Then whoever knows the old id has nothing
    assert client.session.session_key != before
    other = browser()
    other.cookies["sessionid"] = str(before)
    assert other.get("/orders/").status_code == 302


def test_signing_in_out_and_changing_need_the_token_of_the_form(mei: User) -> None:
    client = browser()
    sent = client.post(SIGN_IN, {"username": mei.get_username(), "password": WORD})
    assert sent.status_code == 403
    assert "Load the page again" in sent.content.decode()
    sign_in(client, mei)
    for path in ("/sign-out/", "/password/", "/order/", "/orders/X/cancel/", "/language/"):
        assert client.post(path).status_code == 403
    assert client.get("/sign-out/").status_code == 405


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(mei: User, settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    client = browser()
    send(client, SIGN_IN, username=mei.get_username(), password=WORD)
    for name in ("sessionid", "csrftoken"):
        cookie = client.cookies[name]
        assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")


def test_after_five_failures_the_page_says_that_no_password_is_looked_at(mei: User) -> None:
    for _ in range(5):
        answer = sign_in(browser(), mei, "wrong")
    answer = sign_in(browser(), mei)
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    text = answer.content.decode()
    assert "For up to 15 minutes no password is looked at" in text
    # It is the shop's page, and not the admin's
    assert "Django" not in text


def test_too_many_attempts_in_a_minute_are_told_to_wait(mei: User, settings: Settings) -> None:
    settings.LOGINS_PER_MINUTE = 3
    answers = [sign_in(browser(), mei) for _ in range(5)]
    assert answers[-1].status_code == 429
    assert "Try again in" in answers[-1].content.decode()
    assert int(answers[-1]["Retry-After"]) <= 60


def change(client: Client, old: str, new: str, again: str = "") -> Any:
    return send(client, "/password/", old_password=old, new_password1=new, new_password2=again or new)


def test_a_password_is_not_changed_where_the_tokens_cannot_be_deleted(mei: User) -> None:
    client = browser()
    client.raise_request_exception = False
    sign_in(client, mei)
    token = Api(demo.token(customer=mei))
    # Given a database that lets no token be deleted
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON knox_authtoken FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
        )
    # When
    answer = change(client, WORD, "peach oolong, no sugar")
    # Then all is as it was, and the owner tries again
    assert answer.status_code == 503
    mei.refresh_from_db()
    assert mei.check_password(WORD)
    assert token.get(ORDERS).status == 200


def test_whoever_changes_a_password_is_signed_out_everywhere_else(mei: User) -> None:
    client, stolen = browser(), browser()
    sign_in(client, mei)
    sign_in(stolen, mei)
    token = Api(demo.token(customer=mei))
    assert token.get(ORDERS).status == 200
    # When the password is changed
    answer = change(client, WORD, "peach oolong, no sugar")
    assert (answer.status_code, answer["Location"]) == (302, "/orders/")
    # Then this browser stays in, and nothing else does
    assert "Your password is changed" in client.get("/orders/").content.decode()
    assert stolen.get("/orders/").status_code == 302
    assert token.get(ORDERS).status == 401
    assert not AuthToken.objects.filter(user=mei).exists()
    assert sign_in(browser(), mei).status_code == 422
    assert sign_in(browser(), mei, "peach oolong, no sugar").status_code == 302


@pytest.mark.parametrize(
    ("old", "new", "again", "told"),
    [
        ("wrong", "peach oolong, no sugar", "", "Your old password was entered incorrectly"),
        (WORD, "short", "", "too short"),
        (WORD, "password123", "", "too common"),
        (WORD, "82736451920", "", "entirely numeric"),
        (WORD, "peach oolong", "plum oolong", "didn’t match"),
    ],
)
def test_a_bad_change_is_refused_and_changes_nothing(mei: User, old: str, new: str, again: str, told: str) -> None:
    client = browser()
    sign_in(client, mei)
    answer = change(client, old, new, again)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    mei.refresh_from_db()
    assert mei.check_password(WORD)


def test_a_stolen_session_does_not_find_out_the_password(mei: User, settings: Settings) -> None:
    client = browser()
    sign_in(client, mei)
    settings.LOGINS_PER_MINUTE = 3
    answers = [change(client, f"guess {n}", "peach oolong, no sugar") for n in range(5)]
    assert answers[-1].status_code == 429


def test_who_was_locked_away_is_in_no_more(mei: User) -> None:
    client = browser()
    sign_in(client, mei)
    User.objects.filter(pk=mei.pk).update(is_active=False)
    assert client.get("/orders/").status_code == 302
    assert sign_in(browser(), mei).status_code == 422


def test_a_page_that_asks_whether_somebody_is_signed_in_is_kept_by_nobody(mei: User) -> None:
    client = browser()
    sign_in(client, mei)
    for path in ("/orders/", "/order/", "/password/", "/sign-in/"):
        assert "no-store" in client.get(path)["Cache-Control"], path


def test_the_language_is_chosen_and_kept(db: None) -> None:
    client = browser()
    assert 'lang="en"' in client.get(SIGN_IN).content.decode()
    assert 'lang="zh-hans"' in client.get(SIGN_IN, headers={"Accept-Language": "zh-CN,zh;q=0.9"}).content.decode()
    answer = send(client, "/language/", at=SIGN_IN, language="zh-hans", next=SIGN_IN)
    assert answer["Location"] == SIGN_IN
    shown = client.get(SIGN_IN, headers={"Accept-Language": "en"})
    assert shown["Content-Language"] == "zh-hans"
    # And leads to no other site
    assert send(client, "/language/", at=SIGN_IN, language="en", next="https://evil.example/")["Location"] == "/"


@pytest.mark.django_db
def test_the_demo_customer_and_their_friend_sign_in_with_the_password_of_the_demo() -> None:
    demo.seed(customers_password="of a run before")
    demo.seed(customers_password=WORD)
    for name in (demo.CUSTOMER, demo.FRIEND):
        user = get_user_model()._default_manager.get(username=name)
        assert user.check_password(WORD)
        assert sign_in(browser(), user).status_code == 302
