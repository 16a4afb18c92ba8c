"""Calls a participant as the engine does, observes it, and checks that it has not ended the transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from sagas.db import sqlstate
from sagas.definition.participants import Call, Participant, participant_name
from sagas.definition.steps import Step

# Imported by name, because scenarios patch these names in the module ``invocation``.
from sagas.engine.invocation import Answer, Fault, RolledBack, SetBasedFailure, collect
from sagas.testing.mistakes.catalogue import MistakeKind
from sagas.testing.mistakes.lines import ProjectLines
from sagas.testing.mistakes.observe import TransactionEnded, observed

#: Django's messages when code tries to end a transaction that it has not begun.
_REFUSED = ("forbidden when an 'atomic' block is active", "durable atomic block cannot be nested")
#: SQLSTATE of a missing savepoint: its transaction was ended.
_NO_SAVEPOINT = "3B001"


@dataclass(frozen=True, slots=True)
class ParticipantCaller:
    """Calls the participants of one step and reports their mistakes."""

    step: Step
    lines: ProjectLines
    report: Callable[[MistakeKind, str], None]

    @property
    def database(self) -> str:
        """Alias of the step's database."""
        return self.step.database or DEFAULT_DB_ALIAS

    def call_observed(self, call: Callable[[], Any]) -> Any:
        """Observe the engine's own call of the participant.

        Raises:
            TransactionEnded: the participant tried to end the transaction.
        """
        with observed(self.database, self.report, self.lines):
            return call()

    def call(self, participant: Participant, calls: Sequence[Call[Any]]) -> Sequence[Answer]:
        """Call a participant as the engine does, but return a fault of the whole set as answers.

        Raises:
            TransactionEnded: the participant has ended the transaction, or tried to.
        """
        before = self._transaction()
        answers = self._answers(participant, calls)
        for answer in answers:
            if isinstance(answer, Fault):
                self._report_error(answer.error)
        if self._transaction() != before:
            self.report(MistakeKind.COMMITS, "it has ended the transaction")
            raise TransactionEnded
        return answers

    def _answers(self, participant: Participant, calls: Sequence[Call[Any]]) -> Sequence[Answer]:
        may_commit = self._may_commit()
        try:
            with transaction.atomic(using=self.database):
                with observed(self.database, self.report, self.lines):
                    answers = collect(participant, calls, self.step.rejects, using=self.database)
                if transaction.get_rollback(using=self.database):
                    msg = f"{participant_name(participant)} returned, although its transaction is to be rolled back"
                    return [Fault(RolledBack(msg))] * len(calls)
                if may_commit:
                    self._check_constraints()
        except SetBasedFailure as failure:
            return [Fault(failure.error)] * len(calls)
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
            self.report(MistakeKind.BREAKS, f"the COMMIT would be refused: {str(error).partition(chr(10))[0]}")
            raise

    def _report_error(self, error: Exception) -> None:
        text = str(error)
        if any(words in text for words in _REFUSED):
            self.report(MistakeKind.COMMITS, f"Django refuses: {text}")
        elif sqlstate(error) == _NO_SAVEPOINT:
            self.report(MistakeKind.COMMITS, f"it has ended the transaction: {text.partition(chr(10))[0]}")
            raise TransactionEnded
        elif isinstance(error, RolledBack):
            self.report(MistakeKind.BREAKS, text)

    def _transaction(self) -> int:
        """Id of the transaction; 0 if there is none, or if it is broken."""
        try:
            with connections[self.database].cursor() as cursor:
                cursor.execute("SELECT txid_current()")
                return int(cursor.fetchone()[0])
        except DatabaseError:
            return 0
