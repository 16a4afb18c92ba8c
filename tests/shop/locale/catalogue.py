"""The texts of the shop and of the engine's admin that are translated, and their catalogues, without gettext.

``python -m tests.shop.locale.catalogue`` adds new texts to the catalogues, drops what is used no more, and compiles
them. The engine's is in its package, so that it is in the wheel.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[3]
_KEYWORDS = {
    **dict.fromkeys(["_", "gettext", "gettext_lazy", "gettext_noop"]),
    **dict.fromkeys(["ngettext", "ngettext_lazy"], (1, 2)),
}
_DATE = datetime(2026, 12, 1, tzinfo=UTC)
_STRING = r"""u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_ONE = re.compile(rf"\b(?:_|gettext)\({_STRING}\)")
_MANY = re.compile(rf"\bngettext\({_STRING}, ?{_STRING}, ?[\w.|]+\)")

Message = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Texts:
    """A catalogue, and the code and templates whose texts it has.

    Attributes:
        whose: for its header.
        folder: where it is.
        parts: folders and files, all of whose marked texts are translated.
        passed_over: files in these folders that are not translated.
    """

    whose: str
    folder: str
    parts: tuple[str, ...]
    passed_over: frozenset[str] = frozenset()

    @property
    def po(self) -> Path:
        """What people write."""
        return ROOT / self.folder / "zh_Hans/LC_MESSAGES/django.po"

    @property
    def mo(self) -> Path:
        """What Django reads."""
        return self.po.with_suffix(".mo")

    def files(self) -> Iterator[Path]:
        """The code and the templates."""
        for part in self.parts:
            top = ROOT / part
            yield from sorted(p for p in top.rglob("*") if p.name not in self.passed_over) if top.is_dir() else [top]

    def used(self) -> set[Message]:
        """The texts that code and templates mark: each alone, or as singular and plural."""
        found: set[Message] = set()
        for path in self.files():
            if path.suffix == ".py":
                for _, message, _, _ in extract("python", io.BytesIO(path.read_bytes()), keywords=_KEYWORDS):
                    found.add((str(message[0]), str(message[1])) if isinstance(message, tuple) else message)
            elif path.suffix == ".html":
                code = templatize(path.read_text())
                found |= {ast.literal_eval(text) for text in _ONE.findall(code)}
                found |= {(ast.literal_eval(one), ast.literal_eval(many)) for one, many in _MANY.findall(code)}
        return found

    def read(self) -> Catalog:
        """The catalogue as it is written."""
        with self.po.open("rb") as file:
            return read_po(file, locale="zh_Hans", abort_invalid=True)

    def update(self) -> None:
        """Bring the catalogue up to date, and compile it."""
        old = self.read() if self.po.exists() else Catalog(locale="zh_Hans")
        new = Catalog(
            locale="zh_Hans",
            header_comment=f"# Simplified Chinese of {self.whose}.",
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
        for message in sorted(self.used(), key=str):
            entry = old.get(message if isinstance(message, str) else message[0])
            new.add(message, entry.string if entry else "")
        self.po.parent.mkdir(parents=True, exist_ok=True)
        with self.po.open("wb") as file:
            write_po(file, new, width=120, sort_output=True)
        self.mo.write_bytes(compiled(self.read()))


#: What customers, stores and clients of the API see: all its texts are translated. The shop's admin is English.
SHOP = Texts(
    "the shop's pages",
    "locale",
    (
        "drinkgroup",
        "orders/api",
        "orders/open_orders.py",
        "orders/pages",
        "orders/groups",
        "orders/fulfilment",
        "orders/run_links.py",
        "orders/services.py",
        "orders/templates",
        "delivery/models.py",
    ),
    frozenset({"admin.py"}),
)
#: What operators see of the engine.
ENGINE = Texts(
    "the engine's admin",
    "sagas/locale",
    (
        "sagas/admin",
        "sagas/operations/actions",
        "sagas/operations/search",
        "sagas/operations/summary.py",
        "sagas/templates",
        "sagas/models.py",
        "sagas/apps.py",
    ),
)
CATALOGUES = (SHOP, ENGINE)


def compiled(catalogue: Catalog) -> bytes:
    """What Django reads."""
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def main() -> None:
    """Bring all catalogues up to date."""
    for texts in CATALOGUES:
        texts.update()


if __name__ == "__main__":
    main()
