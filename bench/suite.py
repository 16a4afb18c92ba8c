"""All measures in turn, each in a process with empty servers of its own; results are written as they come.

A measure that fails, or takes too long, does not stop the others: its ratios are missing, and the reason is written in
their place.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import report
from bench.measures import MEASURES, Options
from bench.servers import DIRECTORY, ROOT, destroy

#: Seconds to end processes and servers after an interrupt.
_GRACE = 60.0
_LOOK = 0.2


def run(
    names: Sequence[str], options: Options, say: Callable[[str], None], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run measures; return what is written.

    Args:
        names: of ``MEASURES``.
        options: how much is measured.
        say: called with each stage as it begins.
        before: what an earlier run has written, to which these are added.
    """
    result = begin(before or {}, quick=options.quick)
    for name in names:
        began = time.monotonic()
        found = one(name, options, lambda stage, name=name: say(f"{name}: {stage}"))  # type: ignore[misc]
        found["seconds"] = round(time.monotonic() - began, 1)
        merge(result, name, found)
        report.write(result)
    return result


def begin(before: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """What is written before the first measure: what an earlier run has found, or nothing."""
    ratios = before.get("ratios", {})
    unknown = [name for name in report.TARGETS if name not in ratios]
    return {
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **before,
        "quick": quick or before.get("quick", False),
        "ratios": dict(ratios),
        "missing": dict.fromkeys(unknown, "not measured: the measure was not run") | before.get("missing", {}),
        "measures": dict(before.get("measures", {})),
    }


def merge(result: dict[str, Any], name: str, found: dict[str, Any]) -> None:
    """Add what one measure has found."""
    result["measures"][name] = found
    result.setdefault("settings", found.pop("settings", {}))
    found.pop("settings", None)
    if "failed" in found:
        result["missing"] |= dict.fromkeys(MEASURES[name].ratios, f"not measured: {found['failed']}")
        return
    result["missing"] = {ratio: why for ratio, why in result["missing"].items() if ratio not in found["ratios"]}
    result["missing"] |= found["missing"]
    result["ratios"] |= found["ratios"]


def one(name: str, options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Run one measure in a process of its own; return what it has found, or why it ``failed``."""
    into = ROOT / ".run" / f"bench.{name}.json"
    log = ROOT / ".run" / f"bench.{name}.log"
    into.parent.mkdir(exist_ok=True)
    into.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench", "--inside", name, "--into", str(into)]
    command += ["--minutes", str(options.minutes), "--rows", ",".join(map(str, options.rows))]
    command += ["--quick"] if options.quick else []
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - ours
            command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _follow(process, log, say, time.monotonic() + MEASURES[name].limit * 60)
    finally:
        _end(process)
    if not into.exists():
        return {"failed": f"{_reason(log)}; see {os.path.relpath(log)}"}
    found: dict[str, Any] = json.loads(into.read_text())
    return found


def inside(name: str, options: Options, into: Path) -> None:
    """Run one measure in this process, on servers whose URLs are in the environment, and write what it finds."""
    from bench.surroundings import describe  # noqa: PLC0415 - it reads Django's settings

    before = os.getloadavg()
    found = asdict(MEASURES[name].run(options, lambda stage: print(f"… {stage}", flush=True)))  # noqa: T201 - read by the parent
    found["load_average"] = {"before": before, "after": os.getloadavg()}
    found["settings"] = describe()
    draft = into.with_suffix(".draft")
    draft.write_text(json.dumps(found))
    draft.replace(into)


def _follow(process: subprocess.Popen[bytes], log: Path, say: Callable[[str], None], until: float) -> None:
    """Say each stage of a measure; interrupt it when its time is over."""
    said = ""
    while process.poll() is None:
        if time.monotonic() > until:
            with log.open("a") as stream:
                stream.write("\nit took too long\n")
            return
        stages = [line[2:] for line in log.read_text(errors="replace").splitlines() if line.startswith("… ")]
        if stages and stages[-1] != said:
            said = stages[-1]
            say(said)
        time.sleep(_LOOK)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a measure with all that it started: first it may do so itself."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if DIRECTORY.exists():
        destroy()


def _reason(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it ended without a word"
