"""``manage.py sagas graph``: a saga's steps as Mermaid and as a file of SVG."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("sagas", "graph", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_mermaid() -> None:
    text = printed("orders.PlaceOrder")
    assert text.startswith('flowchart LR\n    n0_0["create_order<br/>')
    assert '{{"payment"}}' in text


def test_it_prints_a_whole_file_of_svg() -> None:
    root = ElementTree.fromstring(printed("lab.Choosy", "--format", "svg"))  # noqa: S314 - it is ours
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.findtext(f"{space}title") == "lab.Choosy, version 1"
    names = {element.text for element in root.iter(f"{space}text")}
    assert {"one", "two", "three", "approval", "four", "point of no return"} <= names


def test_what_it_does_not_know_is_told_with_what_there_is() -> None:
    with pytest.raises(CommandError, match=r"there is no saga 'lab\.Nothing'; there are .*lab\.Lab"):
        printed("lab.Nothing")
    with pytest.raises(CommandError, match=r"lab\.Lab has no version 9; it has 1"):
        printed("lab.Lab", "--version", "9")
