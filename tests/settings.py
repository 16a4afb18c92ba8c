"""Settings of the tests: the project's own, on throwaway servers, with the laboratory's app.

Loading them starts the servers, because Django reads the URLs from the environment as it loads.
"""

from tests.support import servers

servers.ensure()

from drinkgroup.settings import *  # noqa: E402, F403 - the project's settings, once the URLs are there
from drinkgroup.settings import INSTALLED_APPS as _APPS  # noqa: E402

INSTALLED_APPS = [*_APPS, "tests.lab"]
