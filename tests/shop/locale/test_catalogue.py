"""The Chinese of the pages: whole, compiled, and shown to who asks for it."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import translation

from orders.pages import texts
from tests.shop.conftest import Api, Shop
from tests.shop.locale import catalogue

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


def test_every_text_of_a_page_is_translated_and_nothing_else_is_in_the_catalogue() -> None:
    written = {
        tuple(entry.id) if isinstance(entry.id, list | tuple) else entry.id for entry in catalogue.read() if entry.id
    }
    assert written == catalogue.used(), "run python -m tests.shop.locale.catalogue"
    empty = [entry.id for entry in catalogue.read() if entry.id and not all(_texts(entry.string))]
    assert empty == []


def _texts(string: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (string or "",) if isinstance(string, str | None) else tuple(string)


def test_the_translations_have_the_places_of_their_texts() -> None:
    places = re.compile(r"%\(\w+\)[sd]")
    for entry in catalogue.read():
        for said in _texts(entry.string) if entry.id else ():
            source = entry.id if isinstance(entry.id, str) else entry.id[0]
            assert sorted(places.findall(said)) == sorted(places.findall(source)), source


def test_the_compiled_catalogue_is_that_of_the_written_one() -> None:
    expected = catalogue.compiled(catalogue.read())
    assert expected == catalogue.MO.read_bytes(), "run python -m tests.shop.locale.catalogue"


@pytest.mark.parametrize("accepted", ["zh", "zh-CN", "zh-Hans-CN", "zh-TW"])
def test_a_page_is_chinese_for_who_asks_for_it(db: None, accepted: str) -> None:
    text = Client().get("/sign-in/", headers={"Accept-Language": accepted}).content.decode()
    assert "<h1>登录</h1>" in text
    assert "Sign in" not in text


def test_an_order_page_is_chinese_down_to_its_reason(shop: Shop, api: Api) -> None:
    client = Client(headers=CHINESE)
    client.force_login(shop.customer)
    assert "想喝点什么？" in client.get("/order/").content.decode()
    order_no = api.order(shop).body["order_no"]
    answer = client.post(f"/orders/{order_no}/cancel/", follow=True)
    text = answer.content.decode()
    assert "订单已取消，已付款项将退还。" in text
    assert "您已取消。" in text


def test_a_known_reason_is_told_in_the_readers_language_and_a_persons_note_as_it_was_written() -> None:
    rejected = {
        "kind": "rejected",
        "step": "reserve_inventory",
        "code": "OutOfStock",
        "detail": "only 1 is left",
    }
    noted = {"kind": "cancelled", "step": "", "code": "", "detail": "x", "message": "Sorry, the ice machine broke."}
    with translation.override("zh-hans"):
        assert texts.reason_text(rejected) == "有饮品已售罄。"
        assert texts.reason_text(noted) == "Sorry, the ice machine broke."
    with translation.override("en"):
        assert texts.reason_text(rejected) == "only 1 is left"


def test_the_api_answers_errors_in_chinese_on_request_and_the_next_in_english(api: Api, shop: Shop) -> None:
    asked = {"items": [], "slot": shop.slot.pk}
    chinese = api.post("/api/v1/orders/", asked, **CHINESE)
    assert re.search("[一-鿿]", chinese.body["errors"][0]["detail"])
    assert chinese.headers["Content-Language"] == "zh-hans"
    assert "Accept-Language" in chinese.headers["Vary"]
    # The thread serves the next request, which asks for nothing
    english = api.post("/api/v1/orders/", asked)
    assert english.body["errors"][0]["detail"].isascii()
