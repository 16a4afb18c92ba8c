"""An upgrade: runs that an earlier version of the engine began are ended by the present one.

The folder ``before`` has two databases, with runs in flight, and the messages that were in RabbitMQ. The earlier
version wrote them by ``make``. ``play`` has the present version end all runs.
"""

from pathlib import Path

#: What the earlier version wrote.
BEFORE = Path(__file__).parent / "before"
