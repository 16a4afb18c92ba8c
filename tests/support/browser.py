"""The system's Chromium, for tests of pages. `scripts/bootstrap --dev` installs it where it may."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: The program, or None. A test with the mark `browser` is skipped without it.
PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def started() -> Iterator[Browser]:
    """Start it without a window; it ends with the block."""
    # Playwright costs a quarter of a second: only tests of pages pay for it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
