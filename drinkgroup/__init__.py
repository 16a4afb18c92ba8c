"""The project: settings, URLs, and the Celery app, which ``shared_task`` needs loaded."""

from drinkgroup.celery import app as celery_app

__all__ = ["celery_app"]
