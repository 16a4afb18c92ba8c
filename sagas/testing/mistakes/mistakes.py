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
from sagas.testing.carrier import Carrier, living
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import Way, cases, has_remote
from sagas.testing.matrix.diff import touched
from sagas.testing.matrix.player import confirm_early, led
from sagas.testing.matrix.rollback import rehearsal
from sagas.testing.matrix.snapshot import columns_of, joined
from sagas.testing.matrix.subject import Subject, databases_of
from sagas.testing.mistakes.catalogue import Mistake, Usual
from sagas.testing.mistakes.probes import Findings, probing
from sagas.testing.scenario.scenario import Scenario, play_together
from sagas.testing.settings import alone


def find_mistakes(
    saga: type[Saga[Any]],
    request: object,
    *,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
) -> list[Mistake]:
    """Find the usual mistakes of a saga's participants.

    Each participant is called several times and rolled back. Effects outside the databases, such as those of sockets,
    are not rolled back.

    Args:
        saga: the saga.
        request: see ``Subject``, also for the next two. A function is called twice, for two runs in one cohort.
        prepare: what else comes from outside.
        ignore: columns that are not compared.

    Raises:
        ValueError: the saga has a remote participant.
        AssertionError: no mistake was found, but not every operation of the saga was played.
    """
    return mistakes_of(Subject(saga, request, prepare=prepare, ignore=ignore))


def assert_no_usual_mistakes(
    saga: type[Saga[Any]],
    request: object,
    *,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    allow: Callable[[Mistake], bool] = lambda _: False,
) -> None:
    """Assert that no participant of a saga makes a usual mistake.

    Args:
        saga: see ``find_mistakes``, also for the next three.
        request: the request.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        allow: which mistakes are accepted: ``lambda mistake: mistake.usual is Usual.CLOCK``.

    Raises:
        AssertionError: with each mistake, its participant, what was observed, and the fix.
    """
    found = [mistake for mistake in find_mistakes(saga, request, prepare=prepare, ignore=ignore) if not allow(mistake)]
    if found:
        msg = f"{saga.__name__} has {len(found)} of the usual mistakes\n\n" + "\n\n".join(str(one) for one in found)
        raise AssertionError(msg)


def mistakes_of(subject: Subject) -> list[Mistake]:
    """Find the usual mistakes of a subject; see ``find_mistakes``."""
    definition = subject.saga.definition
    if has_remote(definition):
        msg = f"another system has a part in {subject.saga.__name__}, and takes back nothing that is tried out"
        raise ValueError(msg)
    databases = databases_of(definition)
    played = cases(subject.saga, carriers=[ORCHESTRATION])
    ignored = joined(touched(databases), columns_of(subject.ignore))
    findings = Findings()
    try:
        with alone(definition.name, ORCHESTRATION), Clock() as clock:
            for way in [way for way in Way if any(case.way is way for case in played)]:
                with rehearsal(databases, clock), probing(definition, databases, ignored, findings):
                    _play(subject, way, clock)
    except Exception:
        # A participant that ends the transaction breaks everything after it: report that mistake, not this error.
        if all(mistake.usual is not Usual.COMMITS for mistake in findings.mistakes.values()):
            raise
        return list(findings.mistakes.values())
    if findings.problems:
        raise findings.problems[0]
    all_steps = definition.all_steps
    wanted = {(case.step, case.operation) for case in played if not isinstance(all_steps[case.index], SubSaga)}
    missed = sorted(".".join(operation) for operation in wanted - findings.probed)
    if missed and not findings.mistakes:
        raised = [f"\n{'.'.join(operation)} raises {why}" for operation, why in findings.raised.items()]
        msg = f"what is asked of {subject.saga.__name__} does not lead to {', '.join(missed)}{''.join(raised)}"
        raise AssertionError(msg)
    return list(findings.mistakes.values())


def likely_cause(subject: Subject) -> str:
    """Return a text for failed cases with the usual mistakes, which are the likely cause."""
    if has_remote(subject.saga.definition):
        return ""
    if not subject.causes:
        subject.causes.append(_cause(subject))
    return subject.causes[0]


def _cause(subject: Subject) -> str:
    try:
        found = mistakes_of(subject)
    except Exception as error:  # must not hide the failure of the case itself
        return f"\n\n(usual mistakes could not be looked for: {type(error).__name__}: {error})"
    return "\n\nlikely cause:\n" + "\n".join(str(mistake) for mistake in found) if found else ""


def _play(subject: Subject, way: Way, clock: Clock) -> None:
    scenarios = []
    strangers = living()
    for _ in range(2 if callable(subject.request) else 1):
        # The data of the two runs must not have the same time.
        clock.let_pass(timedelta(seconds=1))
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            confirm_early(subject, way, run_id)
        scenarios.append(led(subject, way, run_id, ORCHESTRATION))
    play_together(scenarios, clock, Carrier(strangers))
