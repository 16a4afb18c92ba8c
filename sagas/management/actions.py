"""``manage.py sagas retry | cancel | confirm | resume | resolve``: what the admin's buttons do, from a shell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.errors import SagaError
from sagas.management.person import user_here
from sagas.models import Run
from sagas.operations import actions
from sagas.operations.actions import Action, Preview
from sagas.states import FINAL, State
from sagas.validation import parse_json

#: Runs of one call; more are a job.
MOST = 100

_HELP = {
    "retry": "Make the next attempt now; an escalated run is resumed.",
    "cancel": "Undo runs that are not decided.",
    "confirm": "Take a confirmation on the word of a person.",
    "resume": "Let escalated runs try again where they stood.",
    "resolve": "End escalated runs by hand.",
    "rerun": "Run FAILED runs again, as new runs with the same request.",
}
#: What each subcommand makes of its options.
_MADE: Mapping[str, Callable[[Mapping[str, Any]], Action]] = {
    "retry": lambda _: actions.Retry(),
    "cancel": lambda options: actions.Cancel(message=options["message"]),
    "confirm": lambda options: actions.Confirm(options["confirmation"], options["data"]),
    "resume": lambda _: actions.Resume(),
    "resolve": lambda options: actions.Resolve(options["outcome"]),
    "rerun": lambda _: actions.Rerun(),
}
NAMES = tuple(_MADE)


def add_parsers(commands: argparse._SubParsersAction[CommandParser]) -> None:
    for name, told in _HELP.items():
        parser = commands.add_parser(name, help=told)
        parser.add_argument("runs", nargs="*", type=_run_id, metavar="RUN", help="Ids of runs.")
        parser.add_argument(
            "--business-key", action="append", default=[], help="All unfinished runs of this key; repeatable."
        )
        parser.add_argument("--reason", default="", help="Why, for the record. Needed, except with --dry-run.")
        parser.add_argument("--by", default="", help="Who, for the record; by default this machine's user.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")
        parser.add_argument("--json", action="store_true", help="Write one JSON object a line.")
        parser.add_argument("--seen", default=None, help="Refuse unless the run is as this --dry-run --json saw it.")
        if name == "cancel":
            parser.add_argument("--message", default="", help="Why, for customers.")
        if name == "confirm":
            parser.add_argument("--confirmation", default="", help="Its name; by default the one that is missing.")
            parser.add_argument("--data", type=_data, default={}, help="What the run keeps of it, a JSON object.")
        if name == "resolve":
            outcomes = [state.value for state in sorted(FINAL)]
            parser.add_argument("--outcome", choices=outcomes, required=True, help="What the person vouches for.")


def run(out: OutputWrapper, *, command: str, **options: Any) -> None:
    """Do it run by run, each in a transaction of its own; say what was done, and fail if any was refused."""
    ids = _ids(options["runs"], options["business_key"])
    if options["seen"] is not None and len(ids) > 1:
        msg = "--seen is about one run"
        raise CommandError(msg)
    action = _MADE[command](options)
    previews = {found.run_id: found for found in _previews(command, action, ids)}
    problems = [f"{run_id}: there is no such run" for run_id in ids if run_id not in previews]
    if options["dry_run"]:
        _show(out, list(previews.values()), as_json=options["json"])
    else:
        if not options["reason"].strip():
            msg = "say why: --reason"
            raise CommandError(msg)
        problems += _carry_out(out, command, action, previews, options)
    if problems:
        raise CommandError("; ".join(problems))


def _previews(command: str, action: Action, ids: Sequence[UUID]) -> list[Preview]:
    found = actions.preview(action, ids)
    escalated = [one.run_id for one in found if one.state is State.ESCALATED] if command == "retry" else []
    return [one for one in found if one.run_id not in escalated] + actions.preview(actions.Resume(), escalated)


def _carry_out(
    out: OutputWrapper, command: str, action: Action, previews: Mapping[UUID, Preview], options: Mapping[str, Any]
) -> list[str]:
    problems: list[str] = []
    by = options["by"] or f"manage.py {user_here()}"
    for run_id, found in previews.items():
        which = actions.Resume() if command == "retry" and found.state is State.ESCALATED else action
        try:
            done = actions.carry_out(which, run_id, by=by, reason=options["reason"], seen=options["seen"])
        except SagaError as error:
            problems.append(f"{found.known_as}: {error}")
            continue
        if options["json"]:
            out.write(json.dumps(done.as_json(), ensure_ascii=False))
        else:
            out.write(f"{done.known_as}: {done.state}. {done.plan.text}")
            if command == "rerun":
                out.write(f"the new run is {actions.reruns_of(run_id)[-1]}")
    return problems


def _show(out: OutputWrapper, previews: Sequence[Preview], *, as_json: bool) -> None:
    for found in previews:
        if as_json:
            out.write(json.dumps(found.as_json(), ensure_ascii=False))
        else:
            out.write(f"{found.known_as}, {found.state}: {found.plan.text if found.plan else f'{found.why_not}.'}")
    if not as_json and len(previews) > 1:
        for sentence in actions.summarize(previews):
            out.write(sentence)
    if not as_json:
        out.write("nothing was done")


def _ids(given: Sequence[UUID], keys: Sequence[str]) -> list[UUID]:
    unfinished = Run.objects.filter(business_key__in=keys).exclude(state__in=FINAL) if keys else Run.objects.none()
    ids = sorted({*given, *unfinished.values_list("pk", flat=True)[: MOST + 1]})
    if not ids:
        msg = "name runs, by id or --business-key; of a key the unfinished ones are taken"
        raise CommandError(msg)
    if len(ids) > MOST:
        msg = f"name at most {MOST} runs at once"
        raise CommandError(msg)
    return ids


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{text!r:.80} is no id of a run"
        raise argparse.ArgumentTypeError(msg) from None


def _data(text: str) -> dict[str, Any]:
    try:
        found = parse_json(text)
    except ValueError as error:
        msg = f"that is no JSON: {error}"
        raise argparse.ArgumentTypeError(msg) from None
    if not isinstance(found, dict):
        msg = "give a JSON object"
        raise argparse.ArgumentTypeError(msg)
    return found
