"""Does a participant make one of the usual mistakes? Found while a run of its saga is played, on the real database.

Runs are played forward, and back by each way that there is; two at once where the request is a function, which makes
data for each. All of it is rolled back, which another system cannot do: ``sagas.remote.conformance`` is for those.
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
    """Find the usual mistakes in a saga's participants.

    Each is called several times, and all of it is rolled back; what it does elsewhere, at a socket, is not.

    Args:
        saga: the saga.
        request: see ``Subject``, as of the next two. One that can be called makes two runs, which are cohorts of two.
        prepare: what else comes from outside.
        ignore: columns that are not compared.

    Raises:
        ValueError: another system has a part in the saga.
        AssertionError: there is none in what was played, but that was not every operation of the saga.
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
        saga: see ``find_mistakes``, as of the next three.
        request: what is asked of it.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        allow: which mistakes are none here: ``lambda mistake: mistake.usual is Usual.CLOCK``.

    Raises:
        AssertionError: with each mistake, who makes it, what was seen of it, and how it is mended.
    """
    found = [mistake for mistake in find_mistakes(saga, request, prepare=prepare, ignore=ignore) if not allow(mistake)]
    if found:
        msg = f"{saga.__name__} has {len(found)} of the usual mistakes\n\n" + "\n\n".join(str(one) for one in found)
        raise AssertionError(msg)


def mistakes_of(subject: Subject) -> list[Mistake]:
    """Find the usual mistakes; as ``find_mistakes``."""
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
        # Who ends the transaction for all that ends what is played in it, too: that is why, and not what was raised.
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
    """What a failed case has to say of usual mistakes: they are its likely cause."""
    if has_remote(subject.saga.definition):
        return ""
    if not subject.causes:
        subject.causes.append(_cause(subject))
    return subject.causes[0]


def _cause(subject: Subject) -> str:
    try:
        found = mistakes_of(subject)
    except Exception as error:  # what has failed is said; that the cause was not found must not hide it
        return f"\n\n(usual mistakes could not be looked for: {type(error).__name__}: {error})"
    return "\n\nlikely cause:\n" + "\n".join(str(mistake) for mistake in found) if found else ""


def _play(subject: Subject, way: Way, clock: Clock) -> None:
    scenarios = []
    strangers = living()
    for _ in range(2 if callable(subject.request) else 1):
        # What is made for the second is not of the very moment of the first.
        clock.let_pass(timedelta(seconds=1))
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            confirm_early(subject, way, run_id)
        scenarios.append(led(subject, way, run_id, ORCHESTRATION))
    play_together(scenarios, clock, Carrier(strangers))
