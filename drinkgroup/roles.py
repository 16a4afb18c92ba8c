"""Roles: groups of Django with the permissions that a kind of people needs, and no more. `migrate` puts them right.

A customer is whoever is signed in, and sees what is theirs. A gateway has no account: it signs what it sends. A
superuser may do everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.signals import post_migrate

#: Who makes drinks, hands them over, and opens slots; and who looks after orders, money and runs, in the admin.
STAFF: Final = "staff"
OPERATOR: Final = "operator"

_SEEN: Final = (
    *("sagas.run", "sagas.breaker", "sagas.escalation", "sagas.lock", "sagas.pause", "sagas.shareddecision"),
    *("inventory.sku", "inventory.batch", "inventory.move", "inventory.skuhold"),
    *("coupons.coupon", "coupons.grant"),
    *("delivery.store", "delivery.slot", "delivery.closure", "delivery.fulfilment"),
    *("payments.payment", "payments.refund", "payments.paymentevent"),
    *("campaigns.campaign", "campaigns.member", "campaigns.change"),
    *("webhooks.endpoint", "webhooks.event", "orders.order", "orders.finding"),
)

ROLES: Final[Mapping[str, frozenset[str]]] = {
    STAFF: frozenset({"delivery.fulfil"}),
    OPERATOR: frozenset(
        {
            *(f"{app}.view_{model}" for app, _, model in (name.partition(".") for name in _SEEN)),
            *("sagas.change_run", "sagas.acknowledge_escalation", "sagas.change_escalation"),
            *("sagas.add_run", "sagas.add_pause", "sagas.change_pause"),
            *("sagas.resolve_escalation", "orders.refund_order", "orders.repair_finding"),
        }
    ),
}


def put_right(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the groups that are missing, and give each its permissions; members stay.

    Raises:
        LookupError: a permission is not there.
    """
    with transaction.atomic(using=using):
        for role, names in sorted(ROLES.items()):
            found = {
                f"{permission.content_type.app_label}.{permission.codename}": permission
                for permission in Permission.objects.using(using)
                .filter(codename__in=[name.partition(".")[2] for name in names])
                .select_related("content_type")
            }
            if missing := names - found.keys():
                msg = f"the role {role} needs permissions that are not there: {', '.join(sorted(missing))}"
                raise LookupError(msg)
            group, _ = Group.objects.using(using).get_or_create(name=role)
            group.permissions.set([found[name] for name in names])


def connect() -> None:
    """Have the roles put right by each `migrate`."""
    post_migrate.connect(_after_migrate, dispatch_uid="drinkgroup.roles")


def _after_migrate(*, app_config: Any, using: str, **_: Any) -> None:
    """Behind the last app: the permissions of all apps are there."""
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if app_config.label == last.label and using == DEFAULT_DB_ALIAS:
        # Those of the last app are made by a receiver that may come after this one.
        create_permissions(app_config, verbosity=0, using=using)
        put_right(using=using)
