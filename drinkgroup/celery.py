"""The project's Celery app: ``celery -A drinkgroup worker``."""

import os

from celery import Celery

from sagas.worker import configure

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drinkgroup.settings")

app = Celery("drinkgroup")
app.config_from_object("django.conf:settings", namespace="CELERY")
configure(app)
app.autodiscover_tasks()
