"""The project's settings with the laboratory's app, and no servers started: for tools that only read code."""

from drinkgroup.settings import *  # noqa: F403 - all of the project's
from drinkgroup.settings import DATABASES as _DATABASES
from drinkgroup.settings import INSTALLED_APPS as _APPS
from drinkgroup.settings import POOLED

INSTALLED_APPS = [*_APPS, "tests.lab", "tests.loyalty"]

_LIMITS = "-c lock_timeout=10s -c statement_timeout=10s -c idle_in_transaction_session_timeout=20s"
# A second database in the same cluster. Only the tests that need it make it (the fixture `loyalty`).
_HERE = _DATABASES["default"]
DATABASES = {
    "default": _HERE,
    "loyalty": {
        **_HERE,
        "NAME": f"{_HERE['NAME']}_loyalty",
        # Made by itself, or not at all.
        "TEST": {"DEPENDENCIES": []},
        "OPTIONS": {
            "connect_timeout": 5,
            "patience": 12,
            # Through PgBouncer the role has such limits (tests/support/pooler.py).
            **({} if POOLED else {"options": _LIMITS}),
        },
    },
}
DATABASE_ROUTERS = ["sagas.routers.BarrierRouter", "tests.loyalty.routers.LoyaltyRouter"]

# A password is hashed a thousand times in these tests, and each of Django's own hashes takes a quarter of a second.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Receivers of the tests are on this machine.
WEBHOOKS_PRIVATE = True
