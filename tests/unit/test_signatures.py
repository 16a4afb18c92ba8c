"""Signatures of webhooks: what is a secret, and what one has signed."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from sagas.signatures import BadSecret, BadSignature, parse_secrets, verify_signature

NOW = 1_750_000_000
BODY = b'{"a": 1}'


def secret(letter: str, length: int = 32) -> str:
    return f"whsec_{b64encode(letter.encode() * length).decode()}"


def signed(*secrets: str, body: bytes = BODY, message: str = "msg_1", at: int = NOW) -> dict[str, str]:
    """Headers, as the library of the specification writes them."""
    moment = datetime.fromtimestamp(at, tz=UTC)
    entries = [Webhook(one).sign(message, moment, body.decode()) for one in secrets]
    return {"Webhook-Id": message, "Webhook-Timestamp": str(at), "Webhook-Signature": " ".join(entries)}


def accepted(headers: dict[str, str], *secrets: str, body: bytes = BODY, now: float = NOW) -> bool:
    try:
        return bool(verify_signature(body, headers, parse_secrets(list(secrets)), now=now))
    except BadSignature:
        return False


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "secret 1 does not begin with whsec_"),
        ([], "it is empty"),
        (None, "it is no text"),
        (b"whsec_", "it is no text"),
        ("whsec_", "has 0 bytes"),
        ("whsec_====", "has 0 bytes"),
        (secret("a", 1), "has 1 bytes"),
        (secret("a", 23), "has 23 bytes"),
        ("whsec_not base64 at all, but long enough", "has 2 bytes"),
        ("whsec_" + "é" * 40, "is not base64"),
        ("whsec_A", "is not base64"),
        (b64encode(bytes(32)).decode(), "does not begin with whsec_"),
        (f"{secret('a')} {secret('b', 5)}", "secret 2 has 5 bytes"),
        ([secret("a"), None], "secret 2 does not begin"),
    ],
    ids=str,
)
def test_an_invalid_secret_is_refused_and_never_quoted(given: object, why: str) -> None:
    with pytest.raises(BadSecret, match=why) as raised:
        parse_secrets(given)
    assert secret("a")[10:] not in str(raised.value)


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\n"])
def test_several_secrets_are_given_as_one_text(separator: str) -> None:
    assert parse_secrets(f" {secret('a')}{separator}{secret('b', 24)} ") == (b"a" * 32, b"b" * 24)


def test_a_secret_may_lack_its_padding() -> None:
    assert parse_secrets(secret("a").rstrip("=")) == (b"a" * 32,)


@pytest.mark.parametrize("of", ["a", "b"])
def test_each_of_several_secrets_is_accepted_during_a_rotation(of: str) -> None:
    assert accepted(signed(secret(of)), secret("a"), secret("b"))
    assert not accepted(signed(secret("c")), secret("a"), secret("b"))


@pytest.mark.parametrize(
    "before", ["v1,AAAA", "v1,", "v1", "nonsense", "v1,not-base64!", "v1a,AAAA", "v2,AAAA", "v1,ÿ", ",", "v1,A,B"]
)
@pytest.mark.parametrize("where", ["before", "after", "both"])
def test_a_bad_entry_beside_a_good_signature_is_skipped(before: str, where: str) -> None:
    headers = signed(secret("a"))
    good = headers["Webhook-Signature"]
    entries = {"before": [before, good], "after": [good, before], "both": [before, good, before]}[where]
    assert accepted({**headers, "Webhook-Signature": " ".join(entries)}, secret("a"))


def test_a_header_that_came_twice_has_both_its_entries() -> None:
    headers = signed(secret("a"))
    twice = f"v1,AAAA,{headers['Webhook-Signature']}"
    assert accepted({**headers, "Webhook-Signature": twice}, secret("a"))


@pytest.mark.parametrize(
    ("off", "right"), [(0, True), (300, True), (-300, True), (301, False), (-301, False), (10**9, False)]
)
def test_a_signature_holds_for_five_minutes(off: int, right: bool) -> None:
    assert accepted(signed(secret("a"), at=NOW + off), secret("a")) is right


@pytest.mark.parametrize(
    "changed",
    [
        {"Webhook-Id": "another"},
        {"Webhook-Id": ""},
        {"Webhook-Id": "msg_1,msg_1"},
        {"Webhook-Id": "m" * 256},
        {"Webhook-Timestamp": str(NOW + 1)},
        {"Webhook-Timestamp": f"{NOW}.0"},
        {"Webhook-Timestamp": "nan"},
        {"Webhook-Timestamp": "-1"},
        {"Webhook-Timestamp": "9" * 400},
        {"Webhook-Timestamp": "١٧٥٠٠٠٠٠٠٠"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1,"},
    ],
    ids=str,
)
def test_changed_headers_are_refused(changed: dict[str, str]) -> None:
    assert not accepted({**signed(secret("a")), **changed}, secret("a"))


def test_another_body_is_refused() -> None:
    assert not accepted(signed(secret("a")), secret("a"), body=BODY + b" ")


def test_a_message_without_its_headers_is_refused() -> None:
    assert not accepted({}, secret("a"))
