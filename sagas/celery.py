"""``celery -A sagas worker`` finds ``app`` here. A project that shares its own app calls ``configure``."""

from sagas.messaging.app import app, configure

__all__ = ["app", "configure"]
