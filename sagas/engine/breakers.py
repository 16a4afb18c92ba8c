"""Stands before participants that keep breaking: watches retried confirms and undos, opens breakers, holds runs back.

An open breaker escalates whoever has broken at its participant, lets one run through as a probe after a pause, and
lets the others wait. What succeeds at its first attempt costs nothing here; that any breaker is open at all the
claim learns from its own query.
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


def participant(saga: str, step: str) -> str:
    """What a breaker is of: one step's participant, whose confirm and undo break together."""
    return f"{saga}.{step}"


def record_outcomes(saga: str, step: str, *, succeeded: int, failed: int, faults: bool) -> bool:
    """Take note of what became of a confirm or an undo, and say whether its faults escalate at once.

    Args:
        saga: the runs' saga.
        step: the step.
        succeeded: attempts after the first that succeeded.
        failed: attempts after the first that failed.
        faults: whether any attempt failed, the first included.
    """
    if not config().breaker_windows or not (succeeded or faults):
        return False
    name = participant(saga, step)
    if succeeded or failed:
        store.breakers.insert_sample(name, succeeded=succeeded, failed=failed)
    if not faults:
        return False
    found = store.breakers.find_open(name)
    if found is not None and not _closed(found):
        return True
    return bool(failed) and _opened(name, step)


def all_open() -> dict[str, Open]:
    """The open breakers, by participant; those whose probe has succeeded are closed."""
    return {found.participant: found for found in store.breakers.all_open() if not _closed(found)}


def admit(
    links: tuple[Link, ...], rows: Sequence[store.runs.Row], breakers: Mapping[str, Open]
) -> tuple[tuple[Link, ...], list[store.runs.Row]]:
    """Say which of claimed runs, that all stand at the first of ``links``, go how far.

    The others are held, or escalated: those that have broken at this participant already.
    """
    going = list(rows)
    if not breakers or not links or links[0].phase is Phase.FORWARD:
        return links, going
    at = breakers.get(_of(links[0]))
    if at is not None:
        going = _probe(links[0], going, at)
    # A chain ends before a closed door; who stands there is held when the lease is over.
    end = next((n for n, link in enumerate(links) if n and _of(link) in breakers), len(links))
    return links[:end], going


def _probe(link: Link, rows: Sequence[store.runs.Row], at: Open) -> list[store.runs.Row]:
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


def _of(link: Link) -> str:
    return participant(link.saga, link.step)


def _opened(name: str, step: str) -> bool:
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


def _closed(found: Open) -> bool:
    if found.recovered and store.breakers.close_breaker(found.participant):
        logger.warning("sagas: the breaker of %s closes: a probe has succeeded", found.participant)
    return found.recovered


def prune_samples() -> None:
    """Delete samples that no rule looks at any more, at most once a window in a process."""
    found = config()
    if time.monotonic() - runtime.memory.samples_pruned_at >= found.breaker_window:
        runtime.memory.samples_pruned_at = time.monotonic()
        store.breakers.prune_samples(found.breaker_window * (found.breaker_windows + 1))
