"""A worker of which one app's ``sagas`` module cannot be imported lives, and serves the sagas of the others."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from django.db import transaction

import sagas
from sagas import State
from sagas.models import Run
from tests.integration.conftest import Start
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab
from tests.support import broken
from tests.support.awaiting import eventually
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    await_state,
    effects,
    escalation,
    make_due,
    state,
)

pytestmark = pytest.mark.usefixtures("alone")


def test_a_worker_with_a_broken_sagas_module_serves_the_other_sagas(start_worker: Start, tmp_path: Path) -> None:
    # Given a run of the broken module's saga, and one of another
    jar = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=jar, available=10)
    with transaction.atomic():
        lost = sagas.start(Lab, Experiment(jar=jar))
        Run.objects.filter(pk=lost).update(saga="brokenapp.Order")
        other = sagas.start(Lab, Experiment(jar=jar))

    # When
    worker = start_worker(LEASE_LIMIT=3, TICK=0.2, environment=broken.install(tmp_path))

    # Then the other is served, from its beginning to its end
    await_state(other, State.AWAITING_CONFIRM)
    sagas.confirm(other, "approval", {})
    await_state(other, State.SUCCEEDED)
    assert_effects_once(other)

    # And of the broken module's, a person is told where to look
    def given_up() -> bool:
        # Its leases alone are over at once: short ones would, on a slow machine, have the other one given up, too.
        make_due([lost], since=3600)
        return state(lost) is State.ESCALATED

    eventually(given_up, what="the lost one escalated")
    assert effects(lost) == []
    assert escalation(lost).state == "PENDING"
    assert worker.process.poll() is None
    assert worker.text().count("brokenapp.sagas cannot be imported; its runs wait") == 1
    worker.await_text("no saga 'brokenapp.Order' version 1 is known here (brokenapp.sagas: not today)")
    assert_jar_adds_up(jar, 10)
