"""``manage.py sagas pause | unpause | pauses``: what is stopped for a while, and what goes on."""

from __future__ import annotations

import argparse
import json
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.management.person import user_here
from sagas.operations import actions
from sagas.operations.actions import Action, Target

NAMES = ("pause", "unpause", "pauses")


def add_parsers(commands: argparse._SubParsersAction[CommandParser]) -> None:
    for name, told in (("pause", "Perform nothing more of something."), ("unpause", "Let it go on.")):
        parser = commands.add_parser(name, help=told)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--run", type=_run_id, help="One run, by its id.")
        what.add_argument("--saga", dest="saga", help="All runs of a saga, by its name.")
        what.add_argument("--step", help="A step's participant, as saga.step.")
        what.add_argument("--starts", nargs="?", const="", metavar="SAGA", help="New runs, of a saga or of all.")
        parser.add_argument("--reason", default="", help="Why, for the record. Needed, except with --dry-run.")
        parser.add_argument("--by", default="", help="Who, for the record; by default this machine's user.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")
        parser.add_argument("--json", action="store_true", help="Write JSON.")
    commands.add_parser("pauses", help="Show what is paused.").add_argument(
        "--json", action="store_true", help="Write one JSON object a line."
    )


def run(out: OutputWrapper, *, command: str, **options: Any) -> None:
    """Pause, unpause or show; with ``--dry-run`` only say what would be done."""
    if command == "pauses":
        _show(out, as_json=options["json"])
        return
    if not options["dry_run"] and not options["reason"].strip():
        msg = "say why: --reason"
        raise CommandError(msg)
    by = options["by"] or f"manage.py {user_here()}"
    if options["run"] is not None:
        _about_run(out, command, options, by)
    else:
        _about_more(out, command, _target(options), options, by)


def _about_run(out: OutputWrapper, command: str, options: dict[str, Any], by: str) -> None:
    action: Action = actions.Pause() if command == "pause" else actions.Unpause()
    found = actions.preview(action, [options["run"]])
    if not found:
        msg = f"there is no run {options['run']}"
        raise CommandError(msg)
    if options["dry_run"]:
        plan, why_not = found[0].plan, found[0].why_not
        if plan is None:
            raise CommandError(why_not)
        _say(out, plan, options, done=False)
    else:
        done = actions.carry_out(action, options["run"], by=by, reason=options["reason"])
        _say(out, done.plan, options, done=True)


def _about_more(out: OutputWrapper, command: str, target: Target, options: dict[str, Any], by: str) -> None:
    plan = actions.plan_pause(target) if command == "pause" else actions.plan_unpause(target)
    if not options["dry_run"]:
        change = actions.pause if command == "pause" else actions.unpause
        change(target, by=by, reason=options["reason"])
    _say(out, plan, options, done=not options["dry_run"])


def _say(out: OutputWrapper, plan: actions.Plan, options: dict[str, Any], *, done: bool) -> None:
    if options["json"]:
        out.write(json.dumps({"plan": plan.as_json(), "done": done}, ensure_ascii=False))
    else:
        out.write(plan.text)
        out.write("done" if done else "nothing was done")


def _show(out: OutputWrapper, *, as_json: bool) -> None:
    found = actions.open_pauses()
    for pause, data in zip(found, actions.pauses_as_json(found), strict=True):
        if as_json:
            out.write(json.dumps(data, ensure_ascii=False))
        else:
            what = f"run {pause.run_id}" if pause.run_id else f"{pause.scope}: {Target.of(pause)}"
            out.write(f"{what}, since {pause.since:%Y-%m-%d %H:%M:%S} UTC, by {pause.paused_by}: {pause.reason}")
    if not found and not as_json:
        out.write("nothing is paused")


def _target(options: dict[str, Any]) -> Target:
    if options["saga"] is not None:
        return Target("saga", options["saga"])
    if options["step"] is not None:
        saga, _, step = options["step"].rpartition(".")
        return Target("step", saga, step)
    return Target("starts", options["starts"])


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{text!r:.80} is no id of a run"
        raise argparse.ArgumentTypeError(msg) from None
