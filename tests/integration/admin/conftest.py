"""Runs in all standings, and people who may or may not do something about them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

import sagas
from sagas import State, store
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Link
from sagas.models import Run
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import deliver_all

Clients = Callable[..., Client]

RUNS = "/admin/sagas/run/"
ESCALATIONS = "/admin/sagas/escalation/"


@pytest.fixture
def boss(db: None) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    return client


@pytest.fixture
def staff(db: None) -> Clients:
    """Call it to get the browser of somebody who works here and has these permissions."""

    def make(*codenames: str) -> Client:
        user = get_user_model()._default_manager.create_user("clerk", password="pw", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="sagas", codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return make


def accept(key: str, experiment: Experiment | None = None) -> UUID:
    """Accept a run that nothing has touched yet."""
    return sagas.start(Lab, experiment or Experiment(), business_key=key)


def carried(key: str, experiment: Experiment | None = None) -> UUID:
    """Accept a run, and carry it as far as it goes by itself."""
    run_id = accept(key, experiment)
    carry(run_id)
    return run_id


def carry(run_id: UUID) -> None:
    """Carry a run on, without the dispatcher: its clock stands still in a transaction that is rolled back."""
    while _links(run_id):
        carry_once(run_id)


def carry_once(run_id: UUID) -> None:
    """Carry a run on until its chain ends, or an operation fails."""
    store.claims.lease([run_id], begin=True, within=30)
    deliver_all(Chain(_links(run_id), (run_id,)))


def _links(run_id: UUID) -> tuple[Link, ...]:
    run = Run.objects.get(pk=run_id)
    return plan.links_at(Lab.definition, plan.Place(State(run.state), run.cursor))


def held(key: str) -> UUID:
    """A run that waits for its confirmation, and holds something."""
    Jar.objects.get_or_create(name="jam", defaults={"available": 1000})
    return carried(key, Experiment(jar="jam", quantity=2))


def escalated(key: str) -> UUID:
    """A run whose compensation broke too often, after its last step said no."""
    return carried(key, Experiment(reject=("four",), faults={"two.compensate": 3}))
