"""The texts of the shop that are translated, and its catalogue, without gettext's programs.

``python -m tests.shop.locale.catalogue`` adds new texts to the catalogue, drops what is used no more, and compiles it.
"""

from __future__ import annotations

import ast
import io
import re
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[3]
PO = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"
MO = PO.with_suffix(".mo")
#: What customers, stores and clients of the API see: all its texts are translated. The admin is English.
PARTS = (
    "drinkgroup",
    "orders/api",
    "orders/open_orders.py",
    "orders/pages",
    "orders/groups",
    "orders/fulfilment",
    "orders/services.py",
    "orders/templates",
    "delivery/models.py",
)
_KEYWORDS = {
    **dict.fromkeys(["_", "gettext", "gettext_lazy", "gettext_noop"]),
    **dict.fromkeys(["ngettext", "ngettext_lazy"], (1, 2)),
}
_DATE = datetime(2026, 12, 1, tzinfo=UTC)
_STRING = r"""u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_ONE = re.compile(rf"\b(?:_|gettext)\({_STRING}\)")
_MANY = re.compile(rf"\bngettext\({_STRING}, ?{_STRING}, ?count\)")

Message = str | tuple[str, str]


def used() -> set[Message]:
    """The texts that the shop's code and templates mark: each alone, or as singular and plural."""
    found: set[Message] = set()
    for part in PARTS:
        top = ROOT / part
        files = sorted(path for path in top.rglob("*") if path.name != "admin.py") if top.is_dir() else [top]
        for path in files:
            if path.suffix == ".py":
                for _, message, _, _ in extract("python", io.BytesIO(path.read_bytes()), keywords=_KEYWORDS):
                    found.add((str(message[0]), str(message[1])) if isinstance(message, tuple) else message)
            elif path.suffix == ".html":
                code = templatize(path.read_text())
                found |= {ast.literal_eval(text) for text in _ONE.findall(code)}
                found |= {(ast.literal_eval(one), ast.literal_eval(many)) for one, many in _MANY.findall(code)}
    return found


def read() -> Catalog:
    """The catalogue as it is written."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh_Hans", abort_invalid=True)


def compiled(catalogue: Catalog) -> bytes:
    """What Django reads."""
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def main() -> None:
    """Bring the catalogue up to date, and compile it."""
    old = read()
    new = Catalog(
        locale="zh_Hans",
        header_comment="# Simplified Chinese of the shop's pages.",
        project="drinkgroup",
        version="0.1.0",
        msgid_bugs_address="the issues of the repository",
        last_translator="drinkgroup",
        language_team="drinkgroup",
        # Fixed: the same texts make the same files.
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )
    for message in sorted(used(), key=str):
        entry = old.get(message if isinstance(message, str) else message[0])
        new.add(message, entry.string if entry else "")
    with PO.open("wb") as file:
        write_po(file, new, width=120, sort_output=True)
    MO.write_bytes(compiled(read()))


if __name__ == "__main__":
    main()
