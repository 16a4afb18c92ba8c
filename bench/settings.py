"""The shop's settings, with changes of ``SAGAS`` from ``BENCH_SAGAS``: JSON, such as ``{"COHORT": 50}``."""

import json
import os

from drinkgroup.settings import *  # noqa: F403 - all of them
from drinkgroup.settings import INSTALLED_APPS, SAGAS

# For bench/sagas.py.
INSTALLED_APPS = [*INSTALLED_APPS, "bench"]

SAGAS = {**SAGAS, **json.loads(os.environ.get("BENCH_SAGAS", "{}"))}

# The benchmark's cups are in no ledger: a check would find that, and its incidents would be runs beside the measured.
RECONCILE_SECONDS = 0
