"""Classifies SQL texts by their words: whether they end a transaction, write, or only read. Pure.

Each character of a text is read a bounded number of times, because runs are locked meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

#: Begins a comment, a string or a quoted name, or ends a statement.
_OPENS = re.compile(r"--|/\*|(?<![\w$])\$(?:[^\W\d]\w*)?\$|(?<!\w)[eE]'|'|\"|;")
_LINE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"/\*|\*/")
#: The rest of a string or quoted name, by its opening quote, including the closing quote.
_CLOSES = {
    "'": re.compile(r"[^']*(?:''[^']*)*'"),
    '"': re.compile(r'[^"]*(?:""[^"]*)*"'),
    "E'": re.compile(r"[^'\\]*(?:(?:\\.|'')[^'\\]*)*'", re.DOTALL),
}
_WORD = re.compile(r"\w+")

_ENDS = frozenset({"COMMIT", "BEGIN", "END", "ABORT"})
_WRITES = frozenset(
    ["INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY", "CREATE", "ALTER", "DROP", "CALL", "DO", "REFRESH"],
)
#: First words of statements that only read, or that handle the savepoints of an ``atomic`` block.
_READS = frozenset({"SELECT", "VALUES", "SAVEPOINT", "RELEASE", "ROLLBACK", "WITH"})
#: Words that may write in a statement that begins with WITH.
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})


def ends_transaction(sql: str) -> bool:
    """Whether one of the statements ends a transaction, or begins one."""
    return any(_is_end(words) for words in _statements(sql))


def writes(sql: str) -> bool:
    """Whether one of the statements writes. Writes by functions that a SELECT calls are not noticed."""
    return any(_is_write(words) for words in _statements(sql))


def only_reads(sql: str) -> bool:
    """Whether all statements only read or handle savepoints. In doubt the answer is no."""
    return all(_is_read(words) for words in _statements(sql))


def _is_end(words: list[str]) -> bool:
    match words:
        case [first, *_] if first in _ENDS:
            return True
        case ["ROLLBACK", *rest]:
            return "TO" not in rest[:2] or (rest[:1] not in (["TO"], ["WORK"], ["TRANSACTION"]))
        case ["START" | "PREPARE", "TRANSACTION", *_]:
            return True
    return False


def _is_write(words: list[str]) -> bool:
    if not words:
        return False
    if words[0] in _WRITES:
        return True
    if words[0] == "SELECT":
        return "INTO" in words
    if words[0] != "WITH":
        return False
    pairs = pairwise(words)
    changes = any(
        (one, two) in {("INSERT", "INTO"), ("DELETE", "FROM"), ("MERGE", "INTO")}
        # The UPDATE of a SELECT … FOR UPDATE is followed by one of these words, or by nothing.
        or (one == "UPDATE" and two not in {"OF", "NOWAIT", "SKIP"})
        for one, two in pairs
    )
    return changes or ("SELECT" in words and "INTO" in words[words.index("SELECT") :])


def _is_read(words: list[str]) -> bool:
    if not words:
        return True
    if words[0] not in _READS or _is_write(words) or _is_end(words):
        return False
    return words[0] != "WITH" or _CHANGES.isdisjoint(words)


def _statements(sql: str) -> Iterator[list[str]]:
    """Split a text into statements, each a list of words in capitals, without comments, strings and quoted names.

    If a comment or quote is never closed, the text behind it is read as words. PostgreSQL refuses such a text. If it
    does not, this way rather finds a COMMIT too many than one too few.
    """
    here: list[str] = []
    position = 0
    while opened := _OPENS.search(sql, position):
        here.append(sql[position : opened.start()])
        if opened.group() == ";":
            yield _words(here)
            here, position = [], opened.end()
            continue
        after = _after(sql, opened.group(), opened.end())
        if after is None:
            first, *others = sql[opened.end() :].split(";")
            yield _words([*here, first])
            yield from (_words([other]) for other in others)
            return
        position = after
        if not opened.group().startswith(("-", "/")):
            # A placeholder for the string or quoted name, which is no word of SQL.
            here.append("''")
    yield _words([*here, sql[position:]])


def _words(parts: list[str]) -> list[str]:
    return [word.upper() for word in _WORD.findall(" ".join(parts))]


def _after(sql: str, opener: str, position: int) -> int | None:
    """Find the end of the comment, string or name that ``opener`` begins; ``None`` if there is no end."""
    if opener == "--":
        found = _LINE.match(sql, position)
        return found.end() if found else position
    if opener == "/*":
        return _after_comment(sql, position)
    if opener.startswith("$"):
        close = sql.find(opener, position)
        return None if close < 0 else close + len(opener)
    closed = _CLOSES[opener.upper() if len(opener) > 1 else opener].match(sql, position)
    return closed.end() if closed else None


def _after_comment(sql: str, position: int) -> int | None:
    """Find the end of a block comment; in PostgreSQL block comments may be nested."""
    depth = 1
    for mark in _COMMENT.finditer(sql, position):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return None
