"""Calls a participant as the engine does, watches it, and checks that it has not ended the transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from sagas.db import sqlstate
from sagas.definition.participants import Call, Participant, participant_name
from sagas.definition.steps import Step

# Imported by name, because scenarios patch these names in the module ``invocation``.
from sagas.engine.invocation import Answer, Broken, Fault, RolledBack, collect
from sagas.testing.mistakes.catalogue import Usual
from sagas.testing.mistakes.lines import Lines
from sagas.testing.mistakes.observe import CommittedByItself, watched

#: Django's messages when code tries to end a transaction that it has not begun.
_REFUSED = ("forbidden when an 'atomic' block is active", "durable atomic block cannot be nested")
#: SQLSTATE of a missing savepoint: its transaction was ended.
_NO_SAVEPOINT = "3B001"


@dataclass(frozen=True, slots=True)
class Asker:
    """Calls the participants of one step and reports their mistakes."""

    step: Step
    lines: Lines
    see: Callable[[Usual, str], None]

    @property
    def database(self) -> str:
        """Alias of the step's database."""
        return self.step.database or DEFAULT_DB_ALIAS

    def really(self, call: Callable[[], Any]) -> Any:
        """Watch the engine's own call of the participant.

        Raises:
            CommittedByItself: the participant tried to end the transaction.
        """
        with watched(self.database, self.see, self.lines):
            return call()

    def ask(self, participant: Participant, calls: Sequence[Call[Any]]) -> Sequence[Answer]:
        """Call a participant as the engine does, but return a fault of the whole set as answers.

        Raises:
            CommittedByItself: the participant has ended the transaction, or tried to.
        """
        before = self._transaction()
        answers = self._answers(participant, calls)
        for answer in answers:
            if isinstance(answer, Fault):
                self._look_at(answer.error)
        if self._transaction() != before:
            self.see(Usual.COMMITS, "it has ended the transaction")
            raise CommittedByItself
        return answers

    def _answers(self, participant: Participant, calls: Sequence[Call[Any]]) -> Sequence[Answer]:
        may_commit = self._may_commit()
        try:
            with transaction.atomic(using=self.database):
                with watched(self.database, self.see, self.lines):
                    answers = collect(participant, calls, self.step.rejects, using=self.database)
                if transaction.get_rollback(using=self.database):
                    msg = f"{participant_name(participant)} returned, although its transaction is to be rolled back"
                    return [Fault(RolledBack(msg))] * len(calls)
                if may_commit:
                    self._check_constraints()
        except Broken as broken:
            return [Fault(broken.error)] * len(calls)
        except DatabaseError as error:
            return [Fault(error)] * len(calls)
        return answers

    def _may_commit(self) -> bool:
        """Whether the constraints hold now: a violation by the test itself is no mistake of a participant."""
        try:
            with transaction.atomic(using=self.database):
                connections[self.database].check_constraints()
        except DatabaseError:
            return False
        return True

    def _check_constraints(self) -> None:
        try:
            connections[self.database].check_constraints()
        except DatabaseError as error:
            self.see(Usual.BREAKS, f"the COMMIT would be refused: {str(error).partition(chr(10))[0]}")
            raise

    def _look_at(self, error: Exception) -> None:
        said = str(error)
        if any(words in said for words in _REFUSED):
            self.see(Usual.COMMITS, f"Django refuses: {said}")
        elif sqlstate(error) == _NO_SAVEPOINT:
            self.see(Usual.COMMITS, f"it has ended the transaction: {said.partition(chr(10))[0]}")
            raise CommittedByItself
        elif isinstance(error, RolledBack):
            self.see(Usual.BREAKS, said)

    def _transaction(self) -> int:
        """Id of the transaction; 0 if there is none, or if it is broken."""
        try:
            with connections[self.database].cursor() as cursor:
                cursor.execute("SELECT txid_current()")
                return int(cursor.fetchone()[0])
        except DatabaseError:
            return 0
