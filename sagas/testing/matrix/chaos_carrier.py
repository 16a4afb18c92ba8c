"""A carrier that causes trouble: one message is doubled, late or out of order, or kills its worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sagas import store
from sagas.decisions import plan
from sagas.decisions.messages import Chain, RemoteCalls
from sagas.decisions.plan import Stand
from sagas.engine import performing
from sagas.redis import compensation_guard
from sagas.testing.carrier import WORKER, Carrier, reacting
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import Case, Trouble
from sagas.testing.matrix.kill import die


class Meddler(Carrier):
    """A carrier that causes the trouble of one case, once.

    Attributes:
        met: whether the trouble has been caused.
    """

    def __init__(self, case: Case, clock: Clock, strangers: Collection[UUID] = ()) -> None:
        super().__init__(strangers)
        self.case = case
        self.clock = clock
        self.met = False
        self.kept: Chain | None = None

    def carry(self, chain: Chain, now: datetime) -> None:
        """Deliver a cohort. If it is at the operation of the case, cause the trouble."""
        if self.met or not self._is_the_one(chain):
            super().carry(chain, now)
            return
        self.met = True
        self.kept = chain
        match self.case.trouble:
            case Trouble.TWICE:
                # Twice in a row, and once more after the messages that follow from them.
                super().carry(chain, now)
                super().carry(chain, now)
                self.waiting.append(chain)
            case Trouble.OUT_OF_ORDER:
                self._all_others(chain, now)
                super().carry(chain, now)
            case Trouble.DIES_BEFORE | Trouble.DIES_AFTER:
                die(
                    lambda: self._in_the_child(chain, now),
                    self.clock,
                    database=self.case.database,
                    commit=self.case.commit,
                    before=self.case.trouble is Trouble.DIES_BEFORE,
                )
                super().carry(replace(chain, token=compensation_guard.token_after(chain.token)), now)
            case _:
                super().carry(chain, now)

    def come_late(self, now: datetime) -> None:
        """Deliver a copy of the message after the run has ended."""
        assert self.kept is not None
        super().carry(self.kept, now)

    def _is_the_one(self, chain: Chain) -> bool:
        definition = self.case.saga.definition
        if chain.links[0].saga != definition.name:
            return False
        if not any((link.step, link.phase) == (self.case.step, self.case.phase) for link in reacting(chain)):
            return False
        rows = store.runs.read(chain.ids)
        return any(plan.stand(definition, row.place, self.case.index, self.case.phase) is Stand.HERE for row in rows)

    def _all_others(self, chain: Chain, now: datetime) -> None:
        definition = self.case.saga.definition
        for index, step in enumerate(definition.all_steps):
            for phase in step.actions:
                if (index, phase) != (self.case.index, self.case.phase):
                    done = performing.perform(plan.link(definition, index, phase), chain.ids, worker=WORKER)
                    self.post(done.messages, now)

    def _in_the_child(self, chain: Chain, now: datetime) -> None:
        calls = [message for message in self.perform(chain) if isinstance(message, RemoteCalls)]
        self.post(calls, now)
