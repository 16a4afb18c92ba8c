"""A database that an earlier state of the engine has made, with runs in flight, goes on under today's.

``make`` was run by the earlier state, and wrote what is in ``before``: two databases, and the messages that lay in
RabbitMQ. ``play`` has today's engine end all of it. Both are run by the same code, and by the public face alone.
"""

from pathlib import Path

#: What the earlier state has left.
BEFORE = Path(__file__).parent / "before"
