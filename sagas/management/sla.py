"""``manage.py sagas sla``: prints what became of the service levels over a time, as Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas import store
from sagas.definition import registry
from sagas.observability import report
from sagas.observability.report import Level, Times

_SUBJECTS = ("objective", "run", "undo", "stage")


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--from", dest="since", required=True, type=_day, metavar="DAY", help="The first day, in UTC.")
    parser.add_argument("--to", dest="until", required=True, type=_day, metavar="DAY", help="The day after the last.")
    parser.add_argument("--json", action="store_true", dest="as_json", help="JSON in place of Markdown.")


def _day(text: str) -> datetime:
    # A ValueError is argparse's error.
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def run(out: OutputWrapper, *, since: datetime, until: datetime, as_json: bool, **_: Any) -> None:
    """Print the report.

    Raises:
        CommandError: the time ends before it begins.
    """
    if until <= since:
        msg = f"--to {until.isoformat()} is not after --from {since.isoformat()}"
        raise CommandError(msg)
    counts = store.service_levels.counts(since, until, subjects=_SUBJECTS)
    found = report.levels(counts, registry.objectives())
    sagas = {level.saga: report.times(counts, level.saga) for level in found}
    if as_json:
        body = {
            "from": since.isoformat(),
            "to": until.isoformat(),
            "levels": [_level(level) for level in found],
            "times": {saga: [_times(*item) for item in times.items()] for saga, times in sagas.items()},
        }
        out.write(json.dumps(body, indent=2))
        return
    for line in _markdown(since, until, found, sagas):
        out.write(line)


def _level(level: Level) -> dict[str, Any]:
    return {
        "saga": level.saga,
        "objective": level.objective.name,
        "target": level.objective.target,
        "within_seconds": level.objective.within.total_seconds(),
        "good": level.good,
        "bad": level.bad,
        "budget_spent": level.spent,
        "incidents": [
            {
                "from": incident.began.isoformat(),
                "to": incident.ended.isoformat(),
                "late": incident.late,
                "person": incident.person,
            }
            for incident in level.incidents
        ],
    }


def _times(key: tuple[str, str, str], times: Times) -> dict[str, Any]:
    subject, name, outcome = key
    return {
        "subject": subject,
        "name": name,
        "outcome": outcome,
        "number": times.number,
        "mean_seconds": times.seconds / times.number,
        **{f"p{round(share * 100)}_seconds": times.percentile(share) for share in (0.5, 0.95, 0.99)},
    }


def _markdown(
    since: datetime, until: datetime, found: list[Level], sagas: dict[str, dict[tuple[str, str, str], Times]]
) -> Iterator[str]:
    yield f"# Service levels, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    if not found:
        yield "\nNo saga declares an objective."
    for level in found:
        yield f"\n## {level.saga}: {level.objective.name}\n"
        within = level.objective.within.total_seconds()
        yield f"Target: {level.objective.target * 100:.6g} % of runs end without a person within {within:g} s.\n"
        if level.spent is None:
            yield "No run ended in this time."
            continue
        all_runs = level.good + level.bad
        yield (
            f"{all_runs:,} runs, {level.good:,} good, {level.bad:,} bad: {level.good / all_runs * 100:.6f} %. "
            f"{level.spent * 100:.1f} % of the error budget is spent ({level.objective.budget(all_runs):.3g} runs)."
        )
        if level.incidents:
            yield "\n| incident from | to | late | needed a person | of the budget |"
            yield "|---|---|---:|---:|---:|"
        for incident in level.incidents:
            cost = incident.bad / level.objective.budget(all_runs) * 100
            yield (
                f"| {incident.began:%Y-%m-%d %H:%M} | {incident.ended:%Y-%m-%d %H:%M} | {incident.late} | "
                f"{incident.person} | {cost:.1f} % |"
            )
    for saga, times in sagas.items():
        if not times:
            continue
        yield f"\n## {saga}: times\n"
        yield "| what | outcome | number | mean | p50 ≤ | p95 ≤ | p99 ≤ |"
        yield "|---|---|---:|---:|---:|---:|---:|"
        for (subject, name, outcome), one in times.items():
            shares = " | ".join(_seconds(one.percentile(share)) for share in (0.5, 0.95, 0.99))
            yield (
                f"| {name or subject} | {outcome} | {one.number} | {_seconds(one.seconds / one.number)} | {shares} |"
            )


def _seconds(value: float | None) -> str:
    return "over 1 h" if value is None else f"{value:.3g} s"
