"""The shop's WSGI application without its gate for a rush (ADR 77): ``gunicorn bench.ungated``."""

from drinkgroup.wsgi import application
from orders import sold_out

__all__ = ["application"]

sold_out.RUSH = 10**9
