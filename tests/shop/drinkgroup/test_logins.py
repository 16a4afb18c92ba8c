"""Logging in: guesses are refused before a password is hashed, in words, and on record."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model, hashers
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

LOGIN = "/admin/login/"


@pytest.fixture
def chief(db: None) -> User:
    return get_user_model()._default_manager.create_superuser(f"chief-{uuid4().hex[:8]}", password="right")


def tried(name: str, password: str, *, address: str = "203.0.113.7", **form: str) -> Any:
    """Try to log in from an address."""
    return Client().post(LOGIN, {"username": name, "password": password, **form}, REMOTE_ADDR=address)


def is_in(answer: Any) -> bool:
    return bool(answer.status_code == 302)


def test_a_name_is_tried_five_times_from_an_address_and_then_not_even_with_the_right_password(
    chief: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = chief.get_username()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert not is_in(tried(name, "wrong"))
    hashed: list[str] = []
    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", lambda *_a, **_k: hashed.append("hashed"))
    # When somebody tries again, with the right password
    answer = tried(name, "right")
    # Then it is refused, in words, before anything is hashed
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    assert "Too many attempts to log in have failed" in answer.content.decode()
    assert hashed == []
    # And what was tried is on record, without the passwords
    assert name in caplog.text
    assert "wrong" not in caplog.text


def test_the_list_of_failures_does_not_call_one_who_may_try_again_locked_out(chief: User) -> None:
    tried(chief.get_username(), "wrong")
    client = Client()
    client.force_login(chief)
    page = client.get("/admin/axes/accessattempt/").content.decode()
    assert chief.get_username() in page
    assert "Locked Out" not in page


def test_the_owner_of_a_locked_name_can_log_in_from_another_address(chief: User) -> None:
    for _ in range(5):
        tried(chief.get_username(), "wrong", address="198.51.100.1")
    assert is_in(tried(chief.get_username(), "right", address="198.51.100.2"))


def test_an_address_that_tries_many_names_is_locked_out(chief: User, settings: Settings) -> None:
    for n in range(settings.LOGIN_FAILURES["address"]):
        tried(f"nobody-{n}", "wrong")
    assert tried(chief.get_username(), "right").status_code == 429


def test_a_name_that_is_tried_from_many_addresses_is_locked(chief: User, settings: Settings) -> None:
    for n in range(settings.LOGIN_FAILURES["name"]):
        tried(chief.get_username(), "wrong", address=f"198.51.100.{n}")
    assert tried(chief.get_username(), "right", address="192.0.2.1").status_code == 429


def test_a_lockout_ends_after_a_while(chief: User) -> None:
    from axes.models import AccessAttempt

    for _ in range(6):
        tried(chief.get_username(), "wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert is_in(tried(chief.get_username(), "right"))


def test_a_success_forgets_the_failures_before_it(chief: User) -> None:
    for _ in range(3):
        for _ in range(4):
            tried(chief.get_username(), "wrong")
        assert is_in(tried(chief.get_username(), "right"))


def test_a_client_does_not_choose_its_address(chief: User, settings: Settings) -> None:
    for n in range(5):
        Client().post(
            LOGIN,
            {"username": chief.get_username(), "password": "wrong"},
            headers={"X-Forwarded-For": f"192.0.2.{n}"},
            REMOTE_ADDR="203.0.113.7",
        )
    assert tried(chief.get_username(), "right").status_code == 429


@pytest.mark.parametrize("name", ["", "x" * 151, "nul\x00", "\ud800", "<b>"])
def test_no_name_breaks_the_page(db: None, name: str) -> None:
    answer = Client().post(LOGIN, {"username": name.encode("utf-8", "surrogatepass"), "password": "wrong"})
    assert answer.status_code == 200


def test_a_login_without_a_next_page_leads_to_the_admin(chief: User) -> None:
    answer = tried(chief.get_username(), "right")
    assert answer["Location"] == reverse("admin:index")


def test_a_login_lasts_a_working_day(chief: User) -> None:
    client = Client()
    client.post(LOGIN, {"username": chief.get_username(), "password": "right"})
    assert client.session.get_expiry_age() <= 8 * 3600


def test_a_second_factor_is_asked_for_where_the_settings_say_so(chief: User, settings: Settings) -> None:
    # Given a site that asks for it, and somebody who has a device
    from django.contrib import admin
    from django_otp.admin import OTPAdminSite

    from drinkgroup.logins import ShopAdminSite

    settings.ADMIN_SECOND_FACTOR = True
    strict = ShopAdminSite()
    assert isinstance(admin.site, OTPAdminSite)
    site = admin.site._wrapped
    device = TOTPDevice.objects.create(user=chief, name="phone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "login_form", strict.login_form, raising=False)
        patch.setattr(site, "login_template", strict.login_template, raising=False)
        # Then the password alone does not let in
        client = Client()
        password = {"username": chief.get_username(), "password": "right", "otp_device": device.persistent_id}
        assert client.post(LOGIN, password).status_code == 200
        assert client.get("/admin/").status_code == 302
        # But with the device's token it does
        token = f"{totp(device.bin_key):06d}"
        assert client.post(LOGIN, {**password, "otp_token": token}).status_code == 302
        assert client.get("/admin/").status_code == 200
        # And who was logged in before it was asked for is asked again
        other = Client()
        other.force_login(chief)
        assert other.get("/admin/").status_code == 302
