"""Settings of the tests, on throwaway servers.

Loading them starts the servers, because Django reads the URLs from the environment as it loads.
"""

from tests.support import servers

servers.ensure()

from tests.static_settings import *  # noqa: E402, F403 - once the URLs are there
