"""Circuit breakers of confirms and undos: a participant that fails too often is not called for a while.

An open breaker escalates the runs that have failed at its participant, lets one run through as a probe after a pause,
and postpones the others. An operation that succeeds at its first attempt costs nothing here. The claim learns from its
own query whether any breaker is open.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from sagas import runtime, store
from sagas.conf import config
from sagas.decisions import breaker_policy
from sagas.decisions.breaker_policy import Rule
from sagas.decisions.messages import Link
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.decisions.remedies import BREAKER_OPEN
from sagas.definition.participants import Phase
from sagas.engine.compensation import escalate
from sagas.store.breakers import Open

logger = logging.getLogger(__name__)


def breaker_name(saga: str, step: str) -> str:
    """The name of a breaker. A step has one for its confirm and its undo: they fail together."""
    return f"{saga}.{step}"


def record_outcomes(saga: str, step: str, *, succeeded: int, failed: int, faults: bool) -> bool:
    """Record what became of a confirm or an undo; return whether its faults escalate at once.

    Args:
        saga: the runs' saga.
        step: the step.
        succeeded: attempts after the first that succeeded.
        failed: attempts after the first that failed.
        faults: whether any attempt failed, the first included.
    """
    if not config().breaker_windows or not (succeeded or faults):
        return False
    name = breaker_name(saga, step)
    if succeeded or failed:
        store.breakers.insert_sample(name, succeeded=succeeded, failed=failed)
    if not faults:
        return False
    found = store.breakers.find_open(name)
    if found is not None and not _close_if_recovered(found):
        return True
    return bool(failed) and _open_if_bad(name, step)


def all_open() -> dict[str, Open]:
    """Return the open breakers by participant. Those whose probe has succeeded are closed first."""
    return {found.participant: found for found in store.breakers.all_open() if not _close_if_recovered(found)}


def admit(
    links: tuple[Link, ...], rows: Sequence[store.runs.Row], breakers: Mapping[str, Open]
) -> tuple[tuple[Link, ...], list[store.runs.Row]]:
    """Let claimed runs through that stand at the first of ``links``, as far as no breaker is open.

    The others are postponed; those that have failed at this participant already are escalated.

    Returns:
        The links before the next open breaker, and the runs that go by them.
    """
    going = list(rows)
    if not breakers or not links or links[0].phase is Phase.FORWARD:
        return links, going
    at = breakers.get(_name_of(links[0]))
    if at is not None:
        going = _let_probe_through(links[0], going, at)
    # The chain ends before the next open breaker. Its runs are postponed there when they are claimed again.
    end = next((n for n, link in enumerate(links) if n and _name_of(link) in breakers), len(links))
    return links[:end], going


def _let_probe_through(link: Link, rows: Sequence[store.runs.Row], at: Open) -> list[store.runs.Row]:
    waiting = [row for row in rows if row.attempt == 0]
    for row in rows:
        if row.attempt:
            detail = f"{at.failed} of the last {at.retried} retried operations of {at.participant} failed"
            error = write_reason(ReasonKind.BREAKER, link.step, BREAKER_OPEN, detail)
            escalate(row, store.moves.event_entry("escalate", step=link.step), error, operation=link.operation)
    going = [row for row in waiting[:1] if store.breakers.take_probe(at.participant, row.id, link.operation)]
    held = waiting[len(going) :]
    if held:
        store.breakers.wait_for_probe(at.participant, [row.id for row in held])
    return going


def _name_of(link: Link) -> str:
    return breaker_name(link.saga, link.step)


def _open_if_bad(name: str, step: str) -> bool:
    """Open a breaker if its samples say so; return whether they do."""
    found = config()
    rule = Rule(
        operations=found.breaker_operations,
        minimum=found.breaker_minimum,
        rate=found.breaker_rate,
        window=found.breaker_window,
        windows=found.breaker_windows,
    )
    counted = breaker_policy.windows(store.breakers.samples(name, rule), rule)
    if not breaker_policy.opens(counted, rule):
        return False
    if store.breakers.open_breaker(name, step=step, seen=counted[0]):
        logger.error(
            "sagas: the breaker of %s opens: %d of the last %d retried operations failed",
            name,
            counted[0].failed,
            counted[0].retried,
        )
    return True


def _close_if_recovered(found: Open) -> bool:
    if found.recovered and store.breakers.close_breaker(found.participant):
        logger.warning("sagas: the breaker of %s closes: a probe has succeeded", found.participant)
    return found.recovered


def prune_samples() -> None:
    """Delete samples that are too old for the rule, at most once a window in each process."""
    found = config()
    if time.monotonic() - runtime.memory.samples_pruned_at >= found.breaker_window:
        runtime.memory.samples_pruned_at = time.monotonic()
        store.breakers.prune_samples(found.breaker_window * (found.breaker_windows + 1))
