"""Probes: when the engine calls a participant, it is called a few times more, each time in what is rolled back.

Played then, with the data and the calls that a real run has. What a call leaves is read from the project's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction

from sagas import outcomes
from sagas.definition import Definition
from sagas.errors import Rejected
from sagas.nested import SubSaga
from sagas.outcomes import Answer, Fault
from sagas.participant import Accepted, Call, Done, Outcome, Participant, Phase, is_set_based, name_of
from sagas.steps import Action, Step
from sagas.testing.faults import Broken
from sagas.testing.picture import Columns, Picture, differences, picture, volatile
from sagas.testing.rehearsal import rehearsal
from sagas.testing.usual import Mistake, Usual
from sagas.testing.watching import CommittedByItself, watched

#: Lines of a difference that are shown.
SHOWN = 2
#: How Django refuses whoever would end a transaction that is not his.
_REFUSED = ("forbidden when an 'atomic' block is active", "durable atomic block cannot be nested")


class Findings:
    """What the probes of a saga have found.

    Attributes:
        mistakes: each once for an operation.
        probed: the operations that were called, as (step, operation).
        problems: what went wrong with a probe itself.
    """

    def __init__(self) -> None:
        self.mistakes: dict[tuple[str, str, Usual], Mistake] = {}
        self.probed: set[tuple[str, str]] = set()
        self.problems: list[Exception] = []


@contextmanager
def probing(definition: Definition, databases: Sequence[str], ignored: Columns, findings: Findings) -> Iterator[None]:
    """Probe the participants of a saga whenever they are called inside: those in this process, and of this project."""
    with ExitStack() as undo:
        for step in definition.all_steps:
            if isinstance(step, SubSaga):
                continue
            for phase, action in list(step.actions.items()):
                probe = _Probe(step, phase, action, databases, ignored, findings)
                around = _ProbedSet if is_set_based(action.participant) else _ProbedOne
                step.actions[phase] = replace(action, participant=around(action.participant, probe))
                undo.callback(step.actions.__setitem__, phase, action)
        yield


class _Around:
    """What the engine asks of a participant beside calling it, the real one answers."""

    def __init__(self, participant: Any, probe: _Probe) -> None:
        self._participant = participant
        self._probe = probe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._participant, name)


class _ProbedOne(_Around):
    def __call__(self, call: Call[Any]) -> Any:
        self._probe([call])
        return self._participant(call)


class _ProbedSet(_Around):
    def many(self, calls: Sequence[Call[Any]]) -> Sequence[Outcome]:
        self._probe(calls)
        answers: Sequence[Outcome] = self._participant.many(calls)
        return answers


@dataclass(frozen=True, slots=True)
class _Left:
    """What a participant has answered, and what the tables said then."""

    answers: Sequence[Answer]
    rows: Picture

    @property
    def broken(self) -> str:
        """Why it was not done, if it was not."""
        for answer in self.answers:
            if isinstance(answer, Fault):
                return f"{type(answer.error).__name__}: {answer.error}".partition("\n")[0]
            if isinstance(answer, Rejected):
                return f"{answer.code}: {answer}"
        return ""


@dataclass(frozen=True, slots=True)
class _Probe:
    """Probes one operation."""

    _step: Step
    _phase: Phase
    _action: Action
    _databases: Sequence[str]
    _ignored: Columns
    _findings: Findings

    def __call__(self, calls: Sequence[Call[Any]]) -> None:
        """Probe it with these calls.

        Raises:
            Broken: it must not be called for good: it would end the transaction in which all this is played.
        """
        self._findings.probed.add((self._step.name, self._action.operation.value))
        try:
            with rehearsal(self._databases), watched(self._database, self._see):
                self._ask(calls)
        except CommittedByItself:
            msg = f"{self._step.name} ends the transaction, and is not called for good"
            raise Broken(msg) from None
        if self._has(Usual.OUTSIDE) or self._has(Usual.COMMITS):
            return  # what cannot be taken back is not done oftener than it must be
        try:
            self._probe_all(calls)
        except Exception as error:
            self._findings.problems.append(error)
            raise

    def _probe_all(self, calls: Sequence[Call[Any]]) -> None:
        first = self._played(calls)
        if is_set_based(self._action.participant) and (len(calls) > 1 or callable(self._action.participant)):
            self._one_by_one(calls, first)
        if first.broken:
            return
        if self._phase is Phase.FORWARD:
            self._again(calls, Usual.NOT_KEYED)
        elif self._phase is Phase.UNDO:
            self._again(calls, Usual.NOT_IDEMPOTENT)
            self._without_its_result(calls, first)

    @property
    def _database(self) -> str:
        return self._step.database or DEFAULT_DB_ALIAS

    def _again(self, calls: Sequence[Call[Any]], usual: Usual) -> None:
        with rehearsal(self._databases):
            self._ask(calls)
            once = picture(self._databases)
            answers = self._ask(calls)
            twice = _Left(answers, picture(self._databases))
        if twice.broken and usual is Usual.NOT_IDEMPOTENT:
            self._see(usual, f"called a second time it raises {twice.broken}")
        self._compare(usual, "called a second time", once, twice.rows, self._ignored)

    def _without_its_result(self, calls: Sequence[Call[Any]], first: _Left) -> None:
        own = self._step.name
        less = [replace(call, results={k: v for k, v in call.results.items() if k != own}) for call in calls]
        if all(own not in call.results for call in calls):
            return
        found = self._played(less)
        if found.broken:
            self._see(Usual.BY_RETURNED_ID, f"without what {own} has returned it raises {found.broken}")
            return
        chance = self._by_chance(first, self._played(calls))
        self._compare(Usual.BY_RETURNED_ID, f"without what {own} has returned", first.rows, found.rows, chance)

    def _one_by_one(self, calls: Sequence[Call[Any]], first: _Left) -> None:
        again = self._played(calls)
        forms: list[tuple[str, Participant]] = []
        if len(calls) > 1:
            forms.append(("called for one after the other", self._action.participant))
        if callable(self._action.participant):
            forms.append(("called in its one-call form", _one_call(self._action.participant)))
        for how, form in forms:
            with rehearsal(self._databases):
                found = _Left(
                    [self._ask([call], form)[0] for call in calls],
                    picture(self._databases),
                )
            for call, all_at_once, repeated, alone in zip(
                calls, first.answers, again.answers, found.answers, strict=True
            ):
                said, other = _plain(all_at_once), _plain(alone)
                # What is another each time, such as an id that is counted up, is not compared.
                chance = {key for key, value in _plain(repeated).items() if said.get(key) != value}
                wrong = {key for key in {*said, *other} if said.get(key) != other.get(key)} - chance
                if wrong:
                    seen = f"{how} it answers {_show(alone)}, and {_show(all_at_once)} for {len(calls)} at once"
                    self._see(Usual.MANY_DISAGREES, f"{seen} ({call.key})")
            self._compare(Usual.MANY_DISAGREES, how, first.rows, found.rows, self._by_chance(first, again))

    # -- Calling it -------------------------------------------------------------------------------------------

    def _played(self, calls: Sequence[Call[Any]]) -> _Left:
        with rehearsal(self._databases):
            return _Left(self._ask(calls), picture(self._databases))

    def _ask(self, calls: Sequence[Call[Any]], form: Participant | None = None) -> Sequence[Answer]:
        """As the engine does, but that a fault of the whole set is an answer, too."""
        answers: Sequence[Answer]
        try:
            with transaction.atomic(using=self._database):
                answers = outcomes.collect(
                    form or self._action.participant, calls, self._step.rejects, using=self._database
                )
        except outcomes.Broken as broken:
            answers = [Fault(broken.error)] * len(calls)
        except DatabaseError as error:
            answers = [Fault(error)] * len(calls)
        for answer in answers:
            if isinstance(answer, Fault):
                self._look_at(answer.error)
        return answers

    def _look_at(self, error: Exception) -> None:
        said = str(error)
        if any(words in said for words in _REFUSED):
            self._see(Usual.COMMITS, f"Django refuses: {said}")

    # -- Saying it --------------------------------------------------------------------------------------------

    def _by_chance(self, one: _Left, other: _Left) -> Columns:
        columns = volatile(one.rows, other.rows)
        for table, names in self._ignored.items():
            columns.setdefault(table, set()).update(names)
        return columns

    def _compare(self, usual: Usual, when: str, wanted: Picture, found: Picture, ignored: Columns) -> None:
        changed = differences(wanted, found, ignored)
        if changed:
            more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            self._see(usual, f"{when} it leaves something else: {'; '.join(changed[:SHOWN])}{more}")

    def _see(self, usual: Usual, seen: str) -> None:
        operation = self._action.operation.value
        mistake = Mistake(self._step.name, operation, name_of(self._action.participant), usual, seen)
        self._findings.mistakes.setdefault((mistake.step, operation, usual), mistake)

    def _has(self, usual: Usual) -> bool:
        return (self._step.name, self._action.operation.value, usual) in self._findings.mistakes


def touched(databases: Sequence[str]) -> dict[str, set[str]]:
    """By table, the columns that Django writes at every save with its own clock."""
    found: dict[str, set[str]] = {}
    for model in apps.get_models():
        columns = {str(field.column) for field in model._meta.concrete_fields if getattr(field, "auto_now", False)}
        for database in databases if columns else ():
            table = model._meta.db_table
            found[table if database == DEFAULT_DB_ALIAS else f"{database}: {table}"] = set(columns)
    return found


def _one_call(participant: Any) -> Callable[[Call[Any]], Any]:
    def ask(call: Call[Any]) -> Any:
        return participant(call)

    return ask


def _plain(answer: Answer) -> dict[str, object]:
    """An answer in parts that can be compared one by one."""
    match answer:
        case Done(result=dict() as result):
            return {"": "Done", **{f".{key}": value for key, value in result.items()}}
        case Done(result=result):
            return {"": "Done", ".": result}
        case Accepted():
            return {"": "Accepted"}
        case Rejected():
            return {"": "Rejected", "code": answer.code}
        case Fault():
            return {"": "Fault", "error": type(answer.error).__name__}


def _show(answer: Answer) -> str:
    if isinstance(answer, Rejected):
        return f"Rejected({answer.code})"
    return repr(answer)
