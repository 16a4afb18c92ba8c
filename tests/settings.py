"""Settings of the tests, on throwaway servers.

Loading them starts the servers, because Django reads the URLs from the environment as it loads.
"""

import json
import os

from tests.support import servers

servers.ensure()

from tests.static_settings import *  # noqa: E402, F403 - once the URLs are there
from tests.static_settings import INSTALLED_APPS as _APPS  # noqa: E402
from tests.static_settings import SAGAS as _SAGAS  # noqa: E402

# A test may start a worker with leases and limits of its own, or with one more app.
# Tests leave runs behind that nobody performs. To admission that is an outage: orders would be refused after seconds.
SAGAS = {**_SAGAS, "ADMISSION": 1e9, **json.loads(os.environ.get("LAB_SAGAS", "{}"))}
INSTALLED_APPS = [*_APPS, *os.environ.get("LAB_APPS", "").split()]
# Tests of reconciliation do it themselves: workers of other tests find what those have left half.
RECONCILE_SECONDS = 0
