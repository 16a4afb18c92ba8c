"""A carrier that injects a fault: one message is doubled, late or out of order, or kills its worker.

A compressed saga begins to be compressed at the operation of the case. Otherwise one message would be that of all
operations of a phase, and their cases would be the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Link, Publication, RemoteCalls
from sagas.decisions.plan import Stand
from sagas.delivery.delivering import deliver_chain
from sagas.engine import performing
from sagas.engine.delivery import travels_by_events, triggered_links
from sagas.escalations.notices import Notification
from sagas.redis import compensation_guard
from sagas.testing.carrier import WORKER, Carrier
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import Case, InjectedFault
from sagas.testing.matrix.kill import kill_at_commit


class ChaosCarrier(Carrier):
    """A carrier that injects the fault of one case, once.

    Attributes:
        injected: whether the fault has been injected.
        saved: the message at which the fault was injected.
    """

    def __init__(self, case: Case, clock: Clock, excluded: Collection[UUID] = ()) -> None:
        super().__init__(excluded)
        self.case = case
        self.clock = clock
        self.injected = False
        self.saved: Chain | None = None

    def deliver_cohort(self, chain: Chain, now: datetime) -> None:
        """Deliver a cohort. If it is at the operation of the case, inject the fault."""
        if not self.injected and self._comes_before_case(chain):
            # As if it had been delivered before: in the ordinary way.
            super().deliver_cohort(replace(chain, interruptions=chain.interruptions + 1), now)
            return
        if self.injected or not self._is_at_case(chain):
            super().deliver_cohort(chain, now)
            return
        self.injected = True
        self.saved = chain
        match self.case.fault:
            case InjectedFault.TWICE:
                # Twice in a row, and once more after the messages that follow from them.
                super().deliver_cohort(chain, now)
                super().deliver_cohort(chain, now)
                self.waiting.append(chain)
            case InjectedFault.OUT_OF_ORDER:
                self._perform_all_others(chain, now)
                super().deliver_cohort(chain, now)
            case InjectedFault.KILLED_BEFORE | InjectedFault.KILLED_AFTER:
                kill_at_commit(
                    lambda: self._perform_in_child(chain, now),
                    self.clock,
                    database=self.case.database,
                    commit=self.case.commit,
                    before=self.case.fault is InjectedFault.KILLED_BEFORE,
                )
                super().deliver_cohort(replace(chain, token=compensation_guard.token_after(chain.token)), now)
            case InjectedFault.LOST_BEFORE | InjectedFault.LOST_AFTER:
                # Without a broker a branch of a fork has a chain of its own, though the runs are choreographed.
                own = replace(chain, links=(self._link(),)) if travels_by_events(chain) else chain
                kill_at_commit(
                    lambda: deliver_chain(own, worker=WORKER, carriers=_LostCarrier),
                    self.clock,
                    database=self.case.database,
                    commit=self.case.commit,
                    before=self.case.fault is InjectedFault.LOST_BEFORE,
                )
                # The server may find later that the process is gone. Until then the dispatcher skips the runs.
                with transaction.atomic():
                    store.runs.lock(chain.ids)
            case _:
                super().deliver_cohort(chain, now)

    def deliver_late_copy(self, now: datetime) -> None:
        """Deliver a copy of the message after the run has ended."""
        assert self.saved is not None
        super().deliver_cohort(self.saved, now)

    def _link(self) -> Link:
        return plan.link(self.case.definition, self.case.index, self.case.phase)

    def _is_at_case(self, chain: Chain) -> bool:
        definition = self.case.definition
        if chain.links[0].saga != definition.name:
            return False
        if not any((link.step, link.phase) == (self.case.step, self.case.phase) for link in triggered_links(chain)):
            return False
        rows = store.runs.read(chain.ids)
        return any(plan.stand(definition, row.place, self.case.index, self.case.phase) is Stand.HERE for row in rows)

    def _comes_before_case(self, chain: Chain) -> bool:
        """Whether the operation of the case would be performed with this message, and not begin it."""
        definition = self.case.definition
        operations = [(link.step, link.phase) for link in chain.links if link.saga == definition.name]
        return (
            definition.compressed
            and not travels_by_events(chain)
            and (self.case.step, self.case.phase) in operations[1:]
        )

    def _perform_all_others(self, chain: Chain, now: datetime) -> None:
        definition = self.case.definition
        for index, step in enumerate(definition.all_steps):
            for phase in step.actions:
                if (index, phase) != (self.case.index, self.case.phase):
                    done = performing.perform(plan.link(definition, index, phase), chain.ids, worker=WORKER)
                    self.post(done.messages, now)

    def _perform_in_child(self, chain: Chain, now: datetime) -> None:
        calls = [message for message in self.perform(chain) if isinstance(message, RemoteCalls)]
        self.post(calls, now)


class _LostCarrier:
    """Takes what a process publishes that is killed before anything of it is performed."""

    def publish(self, publication: Publication) -> None:
        """It is lost."""

    def kick(self) -> None:
        """So is this."""

    def notify(self, notice: Notification) -> None:
        """And this."""

    def is_congested(self) -> bool:
        return False

    def set_aside(self, what: str, ids: Sequence[UUID], why: str) -> None:
        """The process was given no runs that do not exist."""
