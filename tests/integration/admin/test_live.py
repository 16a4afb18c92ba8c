"""The script of a page that lives: it shows news, asks for no body without news, and says when the page is stale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.staticfiles import finders

from tests.support import browser

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser

PAGE = """<!DOCTYPE html><html lang="en"><head><script src="/live.js" defer></script></head><body>
<div data-live="/live/" data-seconds="5" data-now="2026-12-01T12:00:00+00:00">
<p role="status" data-live-note hidden data-stale="Stale: the last answer came" data-fresh="Live"></p>
<div data-live-part><a href="/a">1</a> <time datetime="2026-12-01T11:58:00+00:00">11:58</time></div></div></body>
</html>"""
NEWS = '<a href="/b">5</a> <a href="/a">2</a> <time datetime="2026-12-01T11:59:58+00:00">11:59:58</time>'


def test_a_page_shows_news_and_says_when_it_is_stale() -> None:
    script = finders.find("sagas/live.js")
    assert isinstance(script, str)
    asked: list[str | None] = []
    away = False

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix("http://live.test")
        if path == "/live.js":
            route.fulfill(body=Path(script).read_bytes(), content_type="text/javascript")
        elif path != "/live/":
            route.fulfill(body=PAGE, content_type="text/html")
        elif away:
            route.abort()
        else:
            known = route.request.headers.get("if-none-match")
            asked.append(known)
            if known == 'W/"1"':
                route.fulfill(status=304)
            else:
                route.fulfill(body=NEWS, content_type="text/html", headers={"ETag": 'W/"1"'})

    with browser.started() as chromium:
        tab = chromium.new_page()
        # By a clock that is ten years slow: ages are by the database's.
        tab.clock.install(time="2016-12-01T12:00:00")
        tab.route("**/*", answer)
        # Given a page that was just loaded
        tab.goto("http://live.test/")
        part, note = tab.locator("[data-live-part]"), tab.locator("[data-live-note]")
        assert (part.inner_text(), note.inner_text()) == ("1 2 min. ago", "Live")
        tab.locator("a").focus()
        # When there are news
        tab.clock.run_for(5_100)
        part.get_by_role("link", name="5").wait_for()
        # Then they are shown, and what was focused is
        assert part.inner_text().startswith("5 2 ")
        assert tab.evaluate("document.activeElement.getAttribute('href')") == "/a"
        # When there are none
        with tab.expect_response("**/live/") as response:
            tab.clock.run_for(5_000)
        # Then no body is sent
        assert response.value.status == 304
        assert asked == [None, 'W/"1"']
        assert note.inner_text() == "Live"
        # When the server is away
        away = True
        for _ in range(5):
            tab.clock.run_for(5_000)
        # Then the page says how old it is, and still shows what it knew
        assert note.inner_text().startswith("Stale: the last answer came")
        assert "saga-stale" in (note.get_attribute("class") or "")
        assert part.inner_text().startswith("5 2 ")
