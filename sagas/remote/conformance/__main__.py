"""The command line: ``python -m sagas.remote.conformance http://127.0.0.1:8700 --forward 'POST /debits' …``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence

from sagas.definition.participants import Operation
from sagas.errors import DefinitionError
from sagas.remote.conformance.examine import CheckOutcome, examine
from sagas.remote.conformance.subject import Route, Subject

_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_TOGETHER = (
    {Operation.FORWARD, Operation.COMPENSATE},
    {Operation.TRY, Operation.CONFIRM, Operation.CANCEL},
)
_EPILOG = """\
Exit code: 0 if no rule is broken, 1 if one is, 2 if it cannot be asked like this.

Ask with an account of its own, which nothing else moves meanwhile: effects are counted by what --observe shows.
All is undone in the end, but what was confirmed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine a participant and print the results; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        subject = _subject(given)
    except (DefinitionError, ValueError) as error:
        parser.error(str(error))
    counts = dict.fromkeys(CheckOutcome, 0)
    for result in examine(subject):
        counts[result.outcome] += 1
        rule = f"rule {result.rule}" if result.rule else ""
        _say(f"{result.outcome:9}  {result.pair:7}  {rule:6}  {result.title}")
        if result.why:
            _say(f"           {result.why}")
    _say(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts[CheckOutcome.BROKEN] else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sagas.remote.conformance",
        description="Does a participant keep the contract of docs/reference/remote-participants.md?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", help="where it is, such as http://127.0.0.1:8700")
    for operation in Operation:
        add(f"--{operation}", type=_route, metavar="'METHOD /PATH'", help=f"where {operation} is asked for")
    add("--body", type=_json, default={}, metavar="JSON", help="body of forward and try, which can be done often")
    add("--refused", type=_json, metavar="JSON", help="a body that the business refuses")
    add("--query", default="", metavar="/PATH", help="where it can be asked what became of an operation")
    add("--observe", default="", metavar="/PATH", help="what to GET to see an effect, such as a balance")
    add("--restart", default="", metavar="COMMAND", help="kills it (kill -9) and starts it again")
    add("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with each request")
    add("--header-from", action="append", default=[], metavar="VARIABLE", help="the same, from the environment")
    add("--timeout", type=float, default=10.0, metavar="SECONDS", help="for an answer (%(default)s)")
    return parser


def _subject(given: argparse.Namespace) -> Subject:
    routes = {operation: route for operation in Operation if (route := getattr(given, operation)) is not None}
    for belonging in _TOGETHER:
        missing = [f"--{operation}" for operation in Operation if operation in belonging - routes.keys()]
        if missing and routes.keys() & belonging:
            msg = f"what is given needs {' and '.join(missing)} too"
            raise ValueError(msg)
    if not routes:
        msg = "which operations? Give --forward and --compensate, or --try, --confirm and --cancel, or all five"
        raise ValueError(msg)
    lines = [*given.header, *(_variable(name) for name in given.header_from)]
    return Subject(
        given.url,
        routes,
        given.body,
        refused=given.refused,
        headers=dict(_header(line) for line in lines),
        query=given.query,
        observe=given.observe,
        restart=shlex.split(given.restart),
        timeout=given.timeout,
    )


def _route(text: str) -> Route:
    method, _, path = text.partition(" ")
    if method not in _METHODS or not path.startswith("/"):
        msg = f"{text!r} is no method ({', '.join(_METHODS)}) and path, such as 'POST /debits'"
        raise argparse.ArgumentTypeError(msg)
    return Route(method, path)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        msg = f"{text!r} is no JSON"
        raise argparse.ArgumentTypeError(msg) from None


def _variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        msg = f"--header-from {name}: there is no such variable"
        raise ValueError(msg) from None


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        # Not the line itself: it may be a secret.
        msg = "a header is a name, a colon and a value, such as 'Authorization: Bearer …'"
        raise ValueError(msg)
    return name.strip(), value.strip()


if __name__ == "__main__":
    sys.exit(main())
