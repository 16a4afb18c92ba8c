"""What every page has, and which there are: the content security policy, the docs' switch, TLS, the secret key."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.support import browser, servers
from tests.support.web import Web

PAGES = ["/", "/admin/login/", "/api/docs/", "/api/schema/", "/problems/", "/nowhere", "/api/nowhere", "/healthz"]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_a_policy_that_allows_nothing_inline(database: None, path: str) -> None:
    policy = Client().get(path)["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/?script", "/api/schema/"])
def test_the_api_docs_can_be_switched_off(database: None, settings: Settings, path: str) -> None:
    assert Client().get(path).status_code == 200
    settings.API_DOCS = False
    assert Client().get(path).status_code == 404
    assert "/api/docs/" not in Client().get("/").content.decode()


def settings_of(names: str, **environment: str) -> str:
    """What a process with these variables has in its settings."""
    hidden = {"HTTPS", "SECRET_KEY", "API_DOCS", "DEBUG"}
    told = {name: value for name, value in os.environ.items() if name not in hidden}
    program = f"from drinkgroup import settings as s; print(*[getattr(s, n) for n in {names.split()!r}])"
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=servers.ROOT, env={**told, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_with_tls_requests_are_redirected_and_the_api_docs_are_off_by_default() -> None:
    assert settings_of("SECURE_SSL_REDIRECT API_DOCS") == "False True"
    assert settings_of("SECURE_SSL_REDIRECT API_DOCS", HTTPS="on") == "True False"
    assert settings_of("API_DOCS", HTTPS="on", API_DOCS="on") == "True"
    assert settings_of("API_DOCS", API_DOCS="off") == "False"


def test_a_page_is_redirected_to_tls_and_a_probe_is_not(database: None, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for path in ("/", "/admin/login/", "/api/v1/menu/"):
        answer = Client().get(path)
        assert (answer.status_code, answer["Location"]) == (301, f"https://testserver{path}")
        assert Client().get(path, headers={"X-Forwarded-Proto": "https"}).status_code != 301
    for path in ("/healthz", "/readyz"):
        assert Client().get(path).status_code == 200


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    told = {name: value for name, value in servers.worker_environment().items() if name != "SECRET_KEY"}
    told["DJANGO_SETTINGS_MODULE"] = "drinkgroup.settings"
    return subprocess.run(
        command, cwd=servers.ROOT, env={**told, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_deployment_passes_djangos_check(database: None) -> None:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = run(command, HTTPS="on", SECRET_KEY=secrets.token_urlsafe(48))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("config", [[], ["--config", "/dev/null"]], ids=["ours", "another's"])
def test_web_processes_without_a_shared_secret_key_do_not_start(config: list[str]) -> None:
    command = [sys.executable, "-m", "gunicorn", "drinkgroup.wsgi", "--bind", "127.0.0.1:0", *config]
    done = run([*command, "--no-control-socket"], HTTPS="on")
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr + done.stdout


@pytest.fixture(scope="module")
def web(django_db_setup: None) -> Iterator[Web]:
    started = Web()
    yield started.await_ready()
    started.stop()


@pytest.fixture
def chief(database: None) -> Iterator[User]:
    user = User.objects.create_superuser(f"chief-{uuid4().hex[:8]}", password="a long passphrase")
    yield user
    user.delete()


def is_complaint(message: Any) -> bool:
    """An error that is more than the icon which a browser looks for by itself."""
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


@pytest.mark.browser
def test_a_browser_reports_no_errors(web: Web, chief: User) -> None:
    """A login is one for all of the server's processes, though nobody has set a key."""
    complaints: list[str] = []
    with browser.started() as chromium:
        tab = chromium.new_page()
        tab.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        at = f"http://127.0.0.1:{web.port}"
        tab.goto(f"{at}/api/docs/")
        tab.get_by_text("Place an order").or_(tab.locator(".opblock")).first.wait_for()
        tab.goto(f"{at}/admin/login/")
        tab.fill("#id_username", chief.username)
        tab.fill("#id_password", "a long passphrase")
        tab.click("[type=submit]")
        tab.wait_for_url("**/admin/")
        for page in (
            "",
            "sagas/run/",
            "sagas/escalation/",
            "sagas/breaker/",
            "orders/order/",
            "inventory/sku/add/",
        ) * 2:
            tab.goto(f"{at}/admin/{page}")
            assert "/login/" not in tab.url
        tab.goto(f"{at}/")
        tab.goto(f"{at}/problems/")
    assert complaints == []
