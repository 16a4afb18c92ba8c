"""The README is short, is true, and says the same in both languages."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from orders.sagas import PlaceOrder
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.states import State
from tests.docs.papers import ROOT, Block, blocks, links, name, prose

README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
BOTH = pytest.mark.parametrize("readme", [README, CHINESE], ids=name)
PICTURES = pytest.mark.parametrize("picture", ["order.svg", "order.zh-CN.svg"])


def the_saga(readme: Path = README) -> Block:
    (block,) = (block for block in blocks(name(readme), "python") if "class PlaceOrder" in block.text)
    return block


def calls(source: str) -> dict[str, ast.Call]:
    """What ``PlaceOrder`` assigns: its confirmation and its steps, in order."""
    (saga,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "PlaceOrder")
    return {
        target.id: node.value
        for node in saga.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def test_it_has_at_most_700_words() -> None:
    assert len(README.read_text().split()) <= 700


@BOTH
def test_the_saga_and_its_start_take_at_most_twelve_lines(readme: Path) -> None:
    assert len([line for line in the_saga(readme).text.splitlines() if line.strip()]) <= 12


def test_its_saga_is_that_of_the_shop_without_events_and_the_orders_confirm() -> None:
    ours, theirs = calls(the_saga().text), calls((ROOT / "orders/sagas.py").read_text())
    assert list(ours) == ["payment", *(step.name for step in PlaceOrder.definition.steps)]
    for attribute, shown in ours.items():
        actual = theirs[attribute]
        # The type of the request is for mypy, which asks for it where it cannot be inferred.
        kind = actual.func.value if isinstance(actual.func, ast.Subscript) else actual.func
        assert list(map(ast.unparse, [shown.func, *shown.args])) == list(map(ast.unparse, [kind, *actual.args]))
        left_out = ("events", "confirm", "finish_retry")
        arguments = {word.arg: ast.unparse(word.value) for word in actual.keywords if word.arg not in left_out}
        if attribute == "payment":
            arguments["within"] = f"timedelta(seconds={settings.CONFIRM_WITHIN_SECONDS:g})"
        assert {word.arg: ast.unparse(word.value) for word in shown.keywords} == arguments


def test_its_figures_are_those_that_the_benchmark_has_written() -> None:
    rows = [line for line in README.read_text().splitlines() if line.startswith("| ")]
    figures = {figure for row in rows for figure in re.findall(r"(?<!\w)\d[\d,.]*\d", row)}
    measured = set(re.findall(r"\d[\d,.]*\d", (ROOT / "docs/maintainers/performance.md").read_text()))
    assert len(figures) == 7
    assert figures <= measured


@BOTH
def test_the_two_commands_for_a_fresh_machine_are_there(readme: Path) -> None:
    (commands,) = (block.text for block in blocks(name(readme), "sh") if "make run" in block.text)
    assert [line.partition("#")[0].split() for line in commands.splitlines()] == [["make", "run"], ["make", "test"]]


@BOTH
def test_it_says_that_the_package_of_a_similar_name_is_another(readme: Path) -> None:
    (install,) = (block.text for block in blocks(name(readme), "sh") if "pip install" in block.text)
    assert re.fullmatch(r'pip install "?django-sagas(\[[\w,]+\])?"?\n', install)
    assert "`sagas`" in prose(readme).partition("pip install")[2] or "`sagas`" in prose(readme)


def test_both_languages_show_the_same() -> None:
    def code(readme: Path) -> list[str]:
        shown = [block.text for language in ("python", "sh") for block in blocks(name(readme), language)]
        return [re.sub(r'\s*(#.*|""".*""")$', "", text, flags=re.MULTILINE) for text in shown]

    def headings(readme: Path) -> list[str]:
        return re.findall(r"^#+ ", prose(readme), re.MULTILINE)

    def figures(readme: Path) -> list[str]:
        return sorted(re.findall(r"\d[\d,.]*\d", prose(readme)))

    assert code(README) == code(CHINESE)
    assert headings(README) == headings(CHINESE)
    assert figures(README) == figures(CHINESE)
    targets, theirs = ({target for _, target in links(readme)} for readme in (README, CHINESE))
    assert targets ^ theirs == {"README.zh-CN.md", "README.md", "docs/order.svg", "docs/order.zh-CN.svg"}


@PICTURES
def test_the_picture_shows_the_steps_of_an_order_and_its_undos(picture: str) -> None:
    shown = re.findall(r">(\w+_\w+)<", (ROOT / "docs" / picture).read_text())
    definition = PlaceOrder.definition
    forward = [step.name for step in definition.steps]
    undone = [link.step for link in plan.links_at(definition, Place(State.COMPENSATING, len(forward) - 1))]
    assert shown == forward + undone


@BOTH
def test_its_settings_are_four_and_are_accepted(readme: Path) -> None:
    (block,) = (block.text for block in blocks(name(readme), "python") if "INSTALLED_APPS" in block.text)
    found: dict[str, Any] = {"INSTALLED_APPS": [], "DATABASES": {"default": {}}}
    exec(block, found)  # noqa: S102 - the paper is ours
    assert found["INSTALLED_APPS"] == ["sagas"]
    assert list(found["DATABASES"]["default"]) == ["ENGINE"]
    importlib.import_module(f"{found['DATABASES']['default']['ENGINE']}.base")
    assert len(found["SAGAS"]) == 2
    with override_settings(SAGAS=found["SAGAS"]):
        assert {step.queue for step in PlaceOrder.definition.steps} <= set(config().queues)
        assert config().broker is None
