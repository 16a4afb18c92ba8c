"""No saga is forgotten: each has a matrix, or a reason why it has none."""

from __future__ import annotations

import sys

from django.apps import apps

import tests.integration.matrices.test_unwinding
import tests.integration.matrices.test_unwinding_coupons
import tests.integration.matrices.test_unwinding_courier
import tests.integration.matrices.test_unwinding_other_database
import tests.integration.matrices.test_unwinding_refunds
import tests.integration.matrices.test_unwinding_remote
import tests.integration.matrices.test_unwinding_webhooks  # noqa: F401 - likewise
from sagas import Saga
from tests.support.unwinding import covered

#: Sagas that cannot end as they should, because that is what they are for.
BROKEN = {
    "lab.Party": "its payment is never paid back: the compensation always breaks, so that a person is called",
    "lab.Told": "its one step is in another system and has no undo: if no answer ever comes, what it took stays taken",
    "payments.ReturnPayment": "of runs from before, whose second step calls a person until the money is returned",
    "payments.ReviewPayment": "a person decides: its second step calls one until nothing is left to decide",
    "orders.ReviewFindings": "its second step calls a person until reconciliation finds nothing any more",
    "loyalty.Astray": "its second step writes in another database than it says, and is refused at every attempt",
}


def test_every_saga_has_a_matrix_or_a_reason() -> None:
    # Of the apps alone: tests declare sagas of their own.
    apps_of_ours = tuple(f"{app.name}." for app in apps.get_app_configs() if not app.name.startswith("django"))
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(apps_of_ours)]
    declared = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    known = {saga.definition.name for saga in declared if issubclass(saga, Saga) and "definition" in vars(saga)}
    having = {saga.definition.name for saga in covered}
    assert known == having | set(BROKEN)
    assert not having & set(BROKEN)
