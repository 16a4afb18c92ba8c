"""Files of pruned runs: JSON lines, compressed by gzip, a run a line with all that goes with it but personal data.

A file has the runs of one transaction. It gets its name when all of it is on the disk, and before that transaction
commits. So a run is in a file before it is gone; and where the process died in between, it is in a second file, too,
once it is archived again. ``read`` returns it once.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sagas import store
from sagas.definition.personal_data import ERASED, Marks, Paths, mask, mask_text, mask_texts
from sagas.errors import UnknownSaga
from sagas.store.retention.pruning import Ended

#: What a line is: readers look at it before anything else.
FORMAT = 1
_ENDING, _PART = ".jsonl.gz", ".part"
#: Columns of free text and data, in which anything may be. Without the marks of the saga nobody knows what is personal.
_DATA = {
    "sagas_run": ("request", "results", "reason", "pending"),
    "sagas_log": ("data",),
    "sagas_confirmation": ("data",),
    "sagas_escalation": ("error", "note"),
}


class NotWritten(OSError):
    """A file cannot be written: no room, no permission. Its runs are not deleted."""


class Archive:
    """A folder of such files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, runs: Sequence[Ended]) -> None:
        """Write these locked runs to a file of their own, to be called in the transaction that deletes them.

        Raises:
            NotWritten: it cannot be written, and there is no part of it.
        """
        lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in _lines(runs)]
        # In the order of time, so that the later of two copies is known.
        name = f"runs-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:8]}{_ENDING}"
        part = self.folder / f".{name}{_PART}"
        try:
            try:
                _write(part, "\n".join(lines) + "\n")
                part.rename(self.folder / name)
                _sync(self.folder)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            msg = f"{self.folder / name} cannot be written: {error.strerror or error}"
            raise NotWritten(msg) from error


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Read every run of an archive, each once; of several copies the last.

    Raises:
        ValueError: a line is of a later format, or of none.
    """
    files = sorted(folder.glob(f"*{_ENDING}"))
    last = {line["run"]["id"]: file for file in files for line in _read(file)}
    for file in files:
        for line in _read(file):
            if last.get(line["run"]["id"]) == file:
                yield line


def _read(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if line.get("format") != FORMAT:
                msg = f"{file}: this code reads format {FORMAT}, and not {line.get('format')!r}"
                raise ValueError(msg)
            yield line


def _write(part: Path, text: str) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb") as packed:
            packed.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Lines ----------------------------------------------------------------------------------------------------------------


def _lines(runs: Sequence[Ended]) -> Iterator[dict[str, Any]]:
    found = store.retention.pruning.read_whole([run.id for run in runs])
    of_run: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for table, rows in found.items():
        of_run[table] = defaultdict(list)
        for row in rows:
            of_run[table][row["id"] if table == "sagas_run" else row["run_id"]].append(row)
    for run in runs:
        rows_of = {table: rows.get(str(run.id), []) for table, rows in of_run.items()}
        yield _line(run, rows_of)


def _line(run: Ended, rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    try:
        marks = store.definitions.find(run.saga, run.version, run.shape).marks
    except UnknownSaga:
        return _named({table: [_bare(table, row) for row in rows[table]] for table in rows}, is_known=False)
    return _named(_without_personal(marks, rows) if marks else rows, is_known=True)


def _named(rows: Mapping[str, list[dict[str, Any]]], *, is_known: bool) -> dict[str, Any]:
    """A line: the run, what goes with it, and whether its data are there."""
    return {
        "format": FORMAT,
        "with_data": is_known,
        "run": rows["sagas_run"][0],
        "log": rows["sagas_log"],
        "confirmations": rows["sagas_confirmation"],
        "escalations": rows["sagas_escalation"],
    }


def _bare(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if name in _DATA[table] else value for name, value in row.items()}


def _without_personal(marks: Marks, rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Copies without what ``sagas.erase`` would erase; see ``sagas.retention.erasure``."""
    (run,) = rows["sagas_run"]
    named = [(entry["step"], entry["data"]) for entry in rows["sagas_log"]]
    named += [(came["name"], came["data"]) for came in rows["sagas_confirmation"]]
    # Collect all personal values, wherever they stand.
    secrets = marks.values(run["request"], run["results"])
    for name, data in named:
        secrets |= marks.values(None, {name: data})

    def clean(data: Any, personal: Paths = frozenset()) -> Any:
        return mask_texts(mask(data, personal, ERASED), secrets, ERASED)

    results = {name: clean(result, marks.of(name)) for name, result in run["results"].items()}
    return {
        "sagas_run": [
            run | {"request": clean(run["request"], marks.request), "results": results, "reason": clean(run["reason"])}
        ],
        "sagas_log": [entry | {"data": clean(entry["data"], marks.of(entry["step"]))} for entry in rows["sagas_log"]],
        "sagas_confirmation": [
            came | {"data": clean(came["data"], marks.of(came["name"]))} for came in rows["sagas_confirmation"]
        ],
        "sagas_escalation": [
            one | {"error": clean(one["error"]), "note": mask_text(one["note"], secrets, ERASED)}
            for one in rows["sagas_escalation"]
        ],
    }
