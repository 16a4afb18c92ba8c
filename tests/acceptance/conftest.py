"""Fixtures of the acceptance tests: the whole house, as a customer meets it."""

from tests.support.platform_fixtures import _worker_group, customer, shop, web, worker_group

__all__ = ["_worker_group", "customer", "shop", "web", "worker_group"]
