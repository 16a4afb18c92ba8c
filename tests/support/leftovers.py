"""What tests have committed: forgotten before it is in the way of a test that looks at all there is."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from django.apps import apps
from django.conf import settings
from django.db.models import F

from delivery.models import Slot, SlotHold
from inventory.models import Batch, SkuHold
from sagas import runtime
from sagas.pool import Hold, Pool
from tests.lab.models import Jar, JarHold
from tests.support import broker, servers, tables

_DOMAINS = ("orders", "campaigns", "inventory", "coupons", "delivery", "payments", "webhooks")
#: Processes have learnt their rows, or a migration has made them, or they are in other databases only.
_KEPT = {"sagas_definition", "sagas_performer", "delivery_store", "sagas_barrier"}
_POOLS: tuple[tuple[type[Pool], type[Hold]], ...] = ((Jar, JarHold), (Batch, SkuHold), (Slot, SlotHold))


@dataclass
class Committed:
    """What this session has committed.

    Attributes:
        anything: whether a test may have committed anything since the last `forget_all`.
    """

    anything: bool = False


committed = Committed()


def forget_runs() -> None:
    """Forget all runs, messages and kicks, and give back what the runs held. No worker may be at work."""
    tables.empty(*_tables_of("sagas"))
    for pool, hold in _POOLS:
        pool._default_manager.filter(held__gt=0).update(available=F("available") + F("held"), held=0)
        hold._default_manager.filter(state="HELD").delete()
    if not servers.EMBEDDED:
        broker.purge()
        with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
            client.flushdb()
    # What this process has learnt is of the runs that are gone.
    runtime.reset()


def forget_all() -> None:
    """Forget the runs, and all that the domains have."""
    tables.empty(*_tables_of(*_DOMAINS))
    forget_runs()
    committed.anything = False


def _tables_of(*labels: str) -> list[str]:
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    return [model._meta.db_table for model in models if model._meta.db_table not in _KEPT]
