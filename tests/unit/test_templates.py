"""What no template may have: the policy of every page is ``default-src 'self'``, without any exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("campaigns", "coupons", "delivery", "drinkgroup", "inventory", "orders", "payments", "sagas", "webhooks")
TEMPLATES = sorted(path for app in APPS for path in (ROOT / app).rglob("templates/**/*.html"))

#: By what it is: how it is found.
FORBIDDEN = {
    "a style of its own": re.compile(r"""\sstyle\s*=""", re.IGNORECASE),
    "a style sheet in the page": re.compile(r"<style\b", re.IGNORECASE),
    "a script in the page": re.compile(r"<script\b(?![^>]*\ssrc=)(?![^>]*application/json)", re.IGNORECASE),
    "a handler of an event": re.compile(r"""\son[a-z]+\s*=""", re.IGNORECASE),
    "a handler of htmx": re.compile(r"""\s(?:data-)?hx-on\b""", re.IGNORECASE),
    "a script in an attribute": re.compile(r"""["'\s](?:javascript|js):""", re.IGNORECASE),
    # htmx evaluates what stands in brackets.
    "a filter of a trigger": re.compile(r"""hx-trigger\s*=\s*["'][^"']*\[""", re.IGNORECASE),
    "something from another host": re.compile(r"""\s(?:src|srcset)\s*=\s*["'](?:https?:)?//""", re.IGNORECASE),
}


def found_in(text: str) -> list[str]:
    """What of the forbidden a template has. Comments of Django's are not sent to anybody."""
    sent = re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", text, flags=re.DOTALL)
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(sent)]


def test_there_are_templates_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in TEMPLATES} >= {"sagas", "orders", "drinkgroup"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_needs_nothing_inline(path: Path) -> None:
    assert found_in(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('<p style="color: red">', "a style of its own"),
        ("<style>p {}</style>", "a style sheet in the page"),
        ("<script>run()</script>", "a script in the page"),
        ('<a href="#" onclick="run()">', "a handler of an event"),
        ('<a hx-on:click="run()">', "a handler of htmx"),
        ("<a hx-vals='js:{a: 1}'>", "a script in an attribute"),
        ('<a href="javascript:run()">', "a script in an attribute"),
        ('<a hx-trigger="click[ctrlKey]">', "a filter of a trigger"),
        ('<img src="https://cdn.example/a.png">', "something from another host"),
    ],
)
def test_what_is_forbidden_is_found(text: str, what: str) -> None:
    assert found_in(text) == [what]


def test_what_is_allowed_is_not_found() -> None:
    allowed = (
        '<script src="{% static "a.js" %}"></script><link rel="stylesheet" href="a.css"><input name="once" value="on">'
        '{# <p style="x"> #}<script type="application/json">{}</script><rect fill="var(--saga-good, #2d7a37)"/>'
    )
    assert found_in(allowed) == []
