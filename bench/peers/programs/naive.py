"""Django and Celery, as everyone writes it: each task is one durable transaction by the ORM, and a chain joins them.

Quorum queue, publisher confirms, late acks, prefetch 16; the sessions with the database are kept.
"""

import os

import django
import quorum
from celery import chain
from common import SKUS, main
from django.conf import settings

if not settings.configured:
    from urllib.parse import urlsplit

    url = urlsplit(os.environ["DATABASE_URL"])
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path[1:],
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.hostname,
                "PORT": url.port,
                "CONN_MAX_AGE": None,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()

from django.db import models, transaction

app = quorum.application("naive")


class Stock(models.Model):  # noqa: DJ008 - never shown
    """A stock row."""

    sku = models.IntegerField(primary_key=True)
    available = models.BigIntegerField()
    held = models.BigIntegerField()

    class Meta:
        """The table of all engines."""

        app_label = "naive"
        db_table = "stock"


class Effect(models.Model):  # noqa: DJ008 - never shown
    """A log row."""

    run = models.BigIntegerField(primary_key=True)
    step = models.IntegerField()

    class Meta:
        """The table of all engines."""

        app_label = "naive"
        db_table = "effect"


@app.task(name="step")
def step(run, number):
    """One step."""
    with transaction.atomic():
        Stock.objects.filter(sku=run % SKUS).update(available=models.F("available") - 1, held=models.F("held") + 1)
        Effect.objects.bulk_create([Effect(run=run, step=number)])


def setup():
    """Declare the queue."""
    quorum.declare(app)


def start(run):
    """Publish a chain."""
    chain(*(step.si(run, number) for number in (1, 2, 3, 4))).apply_async()


if __name__ == "__main__":
    main(setup=setup, start=start, work=lambda: quorum.work(app))
