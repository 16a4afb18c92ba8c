"""The pages in a real browser, under the strictest policy: nothing is refused, nothing runs over.

The pages are rendered first, then handed to Chromium with the static files: no server, and the data is rolled
back. Screenshots are left in .run/screenshots, to be looked at.
"""

from __future__ import annotations

import mimetypes
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

import sagas
from sagas import breaker_store
from sagas.breaker import Window
from tests.admin.conftest import ESCALATIONS, RUNS, accept, carried, escalated, held
from tests.lab.sagas import Experiment
from tests.support import servers

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOTS = servers.ROOT / ".run" / "screenshots"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: scripts/bootstrap --browser installs it"),
    # Playwright's transport is closed by its own process, after the interpreter has looked.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _render(boss: Client) -> dict[str, str]:
    """Every page, by the name of its screenshot, with runs in many standings."""
    confirmed, waiting, stuck = held("ORD-20261123-7K3M9QX2"), held("ORD-20261123-9ZZT4B1C"), escalated("ORD-STUCK")
    sagas.assign(escalated("ORD-TAKEN"), to="mei", by="mei")
    sagas.confirm(confirmed, "approval", {"payment_id": "pay_81", "channel": "card"})
    carried("ORD-20261123-REFUSED1", Experiment(reject=("two",)))
    accept("ORD-20261123-NEW00001")
    breaker_store.open_breaker("orders.PlaceOrder.reserve_inventory", step="reserve_inventory", seen=Window(88, 31))
    urls = {
        "runs": RUNS,
        "run-waiting": f"{RUNS}{waiting}/change/",
        "run-confirmed": f"{RUNS}{confirmed}/change/",
        "run-escalated": f"{RUNS}{stuck}/change/",
        "escalations": ESCALATIONS,
        "breakers": "/admin/sagas/breaker/",
    }
    pages = {name: boss.get(url).content.decode() for name, url in urls.items()}
    chosen = {"action": "cancel_runs", "index": "0", "_selected_action": [str(waiting), str(confirmed)]}
    pages["decide"] = boss.post(RUNS, chosen).content.decode()
    chosen = {"action": "fail_runs", "index": "0", "_selected_action": [str(stuck)]}
    pages["resolve"] = boss.post(RUNS, chosen).content.decode()
    return pages


def test_the_pages_look_right_and_need_nothing_inline(boss: Client) -> None:
    from playwright.sync_api import Route, sync_playwright

    pages, catalogue = _render(boss), boss.get("/admin/jsi18n/").content
    complaints: list[str] = []

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/static/"):
            file = finders.find(path.removeprefix("/static/"))
            assert isinstance(file, str), path
            kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
            route.fulfill(body=Path(file).read_bytes(), content_type=kind)
        elif path == "/admin/jsi18n/":
            route.fulfill(body=catalogue, content_type="text/javascript")
        else:
            headers = {"Content-Security-Policy": POLICY}
            route.fulfill(body=pages[path.strip("/")], content_type="text/html; charset=utf-8", headers=headers)

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
            tab = context.new_page()
            tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.route("**/*", answer)
            for name in pages:
                tab.goto(f"http://admin.test/{name}")
                tab.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
                # The page itself does not scroll sideways.
                assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
                for label in tab.locator(".saga-label").all():
                    assert label.evaluate("e => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
        browser.close()
    assert complaints == []
