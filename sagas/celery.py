"""For Celery: ``celery -A sagas worker`` takes ``app``. A project that shares its own app calls ``configure``."""

from sagas.messaging.app import app, configure

__all__ = ["app", "configure"]
