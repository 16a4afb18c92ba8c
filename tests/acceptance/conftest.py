"""Fixtures of the acceptance tests: the whole house, as a customer meets it."""

from tests.support.house import _crew, crew, customer, shop, web

__all__ = ["_crew", "crew", "customer", "shop", "web"]
