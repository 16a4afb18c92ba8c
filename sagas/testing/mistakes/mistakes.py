"""Finds usual mistakes of participants while runs of their saga are played on the real database.

Runs are played forward, and back in each possible way. If the request is a function, which makes the data for each run,
two runs are played at once. All of it is rolled back. That is impossible for other systems, for which there is
``sagas.remote.conformance``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from django.test import TestCase

from sagas.definition.saga import Saga
from sagas.engine.subsagas import SubSaga
from sagas.states import ORCHESTRATION
from sagas.testing.carrier import Carrier, live_run_ids
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import RunPath, cases, has_remote
from sagas.testing.matrix.diff import auto_now_columns
from sagas.testing.matrix.player import confirm_early, scenario_on_path
from sagas.testing.matrix.rollback import rolled_back
from sagas.testing.matrix.snapshot import columns_of, merged_columns
from sagas.testing.matrix.subject import Subject, databases_of
from sagas.testing.mistakes.catalogue import Mistake, MistakeKind
from sagas.testing.mistakes.probes import Findings, probing
from sagas.testing.scenario.scenario import Scenario, play_together
from sagas.testing.settings import in_process_settings


def find_mistakes(
    saga: type[Saga[Any]],
    request: object,
    *,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    skips: Collection[str] = (),
) -> list[Mistake]:
    """Find the usual mistakes of a saga's participants.

    Each participant is called several times and rolled back. Effects outside the databases, such as those of sockets,
    are not rolled back.

    Args:
        saga: the saga.
        request: see ``Subject``, also for the next two. A function is called twice, for two runs in one cohort.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        skips: the steps that a run with this request skips.

    Raises:
        ValueError: the saga has a remote participant.
        AssertionError: no mistake was found, but not every operation of the saga was played.
    """
    return mistakes_of(Subject(saga, request, prepare=prepare, ignore=ignore, skips=skips))


def assert_no_usual_mistakes(
    saga: type[Saga[Any]],
    request: object,
    *,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    skips: Collection[str] = (),
    allow: Callable[[Mistake], bool] = lambda _: False,
) -> None:
    """Assert that no participant of a saga makes a usual mistake.

    Args:
        saga: see ``find_mistakes``, also for the next three.
        request: the request.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        skips: the steps that a run with this request skips.
        allow: which mistakes are accepted: ``lambda mistake: mistake.kind is MistakeKind.READS_CLOCK``.

    Raises:
        AssertionError: with each mistake, its participant, what was observed, and the fix.
    """
    played = find_mistakes(saga, request, prepare=prepare, ignore=ignore, skips=skips)
    found = [mistake for mistake in played if not allow(mistake)]
    if found:
        msg = f"{saga.__name__} has {len(found)} of the usual mistakes\n\n" + "\n\n".join(str(one) for one in found)
        raise AssertionError(msg)


def mistakes_of(subject: Subject) -> list[Mistake]:
    """Find the usual mistakes of a subject; see ``find_mistakes``."""
    definition = subject.definition
    if has_remote(definition):
        msg = f"{subject.saga.__name__} has a remote participant, whose effects cannot be rolled back"
        raise ValueError(msg)
    databases = databases_of(definition)
    played = cases(subject.saga, carriers=[ORCHESTRATION], skips=subject.skips)
    ignored = merged_columns(auto_now_columns(databases), columns_of(subject.ignore))
    findings = Findings()
    try:
        with in_process_settings(definition.name, ORCHESTRATION), Clock() as clock:
            for path in [path for path in RunPath if any(case.path is path for case in played)]:
                with rolled_back(databases, clock), probing(definition, databases, ignored, findings):
                    _play(subject, path, clock)
    except Exception:
        # A participant that ends the transaction breaks everything after it: report that mistake, not this error.
        if all(mistake.kind is not MistakeKind.COMMITS for mistake in findings.mistakes.values()):
            raise
        return list(findings.mistakes.values())
    if findings.problems:
        raise findings.problems[0]
    all_steps = definition.all_steps
    wanted = {(case.step, case.operation) for case in played if not isinstance(all_steps[case.index], SubSaga)}
    missed = sorted(".".join(operation) for operation in wanted - findings.probed)
    if missed and not findings.mistakes:
        raised = [f"\n{'.'.join(operation)} raises {why}" for operation, why in findings.raised.items()]
        msg = f"the runs of {subject.saga.__name__} did not reach {', '.join(missed)}{''.join(raised)}"
        raise AssertionError(msg)
    return list(findings.mistakes.values())


def likely_cause(subject: Subject) -> str:
    """Return a text for failed cases with the usual mistakes, which are the likely cause."""
    if has_remote(subject.definition):
        return ""
    if not subject.likely_causes:
        subject.likely_causes.append(_cause(subject))
    return subject.likely_causes[0]


def _cause(subject: Subject) -> str:
    try:
        found = mistakes_of(subject)
    except Exception as error:  # must not hide the failure of the case itself
        return f"\n\n(the search for usual mistakes failed: {type(error).__name__}: {error})"
    return "\n\nlikely cause:\n" + "\n".join(str(mistake) for mistake in found) if found else ""


def _play(subject: Subject, path: RunPath, clock: Clock) -> None:
    scenarios = []
    excluded = live_run_ids()
    for _ in range(2 if callable(subject.request) else 1):
        # The data of the two runs must not have the same time.
        clock.advance(timedelta(seconds=1))
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            confirm_early(subject, path, run_id)
        scenarios.append(scenario_on_path(subject, path, run_id, ORCHESTRATION))
    play_together(scenarios, clock, Carrier(excluded))
