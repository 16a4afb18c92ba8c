"""What an action is: to whom it applies, what it would do, and how it is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from sagas.operations.actions.effects import Effect
from sagas.operations.actions.situation import Situation
from sagas.states import State


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action would do to one run.

    Attributes:
        words: sentences, in the language of who asks.
        effects: the operations that the engine would perform for it, in order.
        ends: the state in which the run ends by them; "" if more must happen first.
    """

    words: tuple[str, ...]
    effects: tuple[Effect, ...] = ()
    ends: str = ""

    @property
    def text(self) -> str:
        """The sentences in one line."""
        return " ".join(self.words)

    def as_json(self) -> dict[str, Any]:
        """As the audit entry and ``--json`` have it."""
        return {"words": list(self.words), "effects": [e.as_json() for e in self.effects], "ends": self.ends}


@dataclass(frozen=True, slots=True)
class Action(ABC):
    """What a person may do about a run. Its fields are what the person says besides the reason.

    Attributes:
        name: what it is called in the shell, in APIs and in the audit.
        permission: which permission of Django a user needs.
        needs_reason: whether the person must say why.
        depends_on_sight: whether it is refused if the run has moved on since the person looked at it.
    """

    name: ClassVar[str]
    permission: ClassVar[str]
    needs_reason: ClassVar[bool] = True
    depends_on_sight: ClassVar[bool] = True

    @abstractmethod
    def refusal(self, run: Situation) -> str:
        """Say why it does not apply to the run; "" if it does."""

    @abstractmethod
    def plan(self, run: Situation) -> Plan:
        """Say what it would do. Nothing is written. It is asked only if the action applies."""

    @abstractmethod
    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:
        """Do it, in the transaction that has locked the run; return how the run stands then.

        Args:
            run: the run.
            by: who.
            reason: why.
            escalation: the escalation that the person has read; ``None`` for the open one.
        """

    def said(self) -> Mapping[str, Any]:
        """What the person said besides the reason, as JSON."""
        return asdict(self)
