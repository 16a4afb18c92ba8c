"""The public path of what consumers of domain events call: ``from sagas import consumer``.

It is a module of its own, and no part of ``sagas``, because it needs Celery and kombu (the extra ``celery``).
"""

from sagas.messaging.consumer import declare, first_time, forget, listen, new_of

__all__ = ["declare", "first_time", "forget", "listen", "new_of"]
