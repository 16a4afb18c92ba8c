"""The example of the typed client, as a process of its own, beside the whole platform."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support import servers
from tests.support.client import generated
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import Shop
from tests.support.web import Caller

EXAMPLE = servers.ROOT / "examples" / "api-client" / "order.py"


def test_the_example_orders_and_cancels(customer: Caller, shop: Shop, worker_group: WorkerGroup) -> None:
    # Given
    worker_group.start()
    environment = {
        **os.environ,
        "PYTHONPATH": str(generated.folder()),
        "DRINKGROUP_URL": f"http://127.0.0.1:{customer.web.port}",
        "DRINKGROUP_TOKEN": customer.token,
    }
    # When
    ran = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False, env=environment)
    # Then
    assert ran.returncode == 0, ran.stderr
    assert re.match(r"ORD-\S+ of .+: AWAITING_CONFIRM, then (COMPENSATING|FAILED)", ran.stdout), ran.stdout
