"""The sagas with steps in another database end wholly confirmed or wholly undone, in both."""

from __future__ import annotations

import pytest
from pytest_django import DjangoDbBlocker

from sagas.testing import Ended
from tests.lab.personal_data import Visit
from tests.lab.sagas import Experiment
from tests.loyalty.models import Purse, PurseHold, Stamp
from tests.loyalty.sagas import Afar, AfarForked, AfarPatient, AfarReported, Membership, Tied
from tests.support import loyalty
from tests.support.unwinding import an_experiment, marks_and_jars_agree, unwinds, wipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty")]


@pytest.fixture(scope="module")
def empty(loyalty_database: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()
        loyalty.wipe()


def afar() -> Experiment:
    """Of a jar here, and a purse of that name there."""
    experiment = an_experiment()
    Purse.objects.create(name=experiment.jar, available=10)
    return experiment


def both_agree(ended: Ended) -> None:
    """The invariant: every stamp stands once, and no hold is open, here or there."""
    marks_and_jars_agree(ended)
    stamps = [(stamp.step, stamp.operation) for stamp in Stamp.objects.filter(run_id=ended.run_id)]
    assert len(stamps) == len(set(stamps))
    holds = set(PurseHold.objects.filter(run_id=ended.run_id).values_list("state", flat=True))
    assert holds <= {"CONFIRMED" if ended.succeeded else "CANCELLED"}


test_afar = unwinds(Afar, afar, invariant=both_agree)
test_afar_forked = unwinds(AfarForked, afar, invariant=both_agree)
test_afar_patient = unwinds(AfarPatient, afar, invariant=both_agree)
test_afar_reported = unwinds(
    AfarReported, afar, invariant=both_agree, prepare=lambda scenario: scenario.when_reported("one")
)
test_membership = unwinds(Membership, lambda: Visit(phone="+49 30 1234"), invariant=both_agree)
test_tied = unwinds(Tied, afar, invariant=both_agree)
