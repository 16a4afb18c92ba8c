"""Django and Celery, as everyone writes it: each task is one durable transaction by the ORM, and a chain joins them.

Quorum queue, publisher confirms, late acks, prefetch 16; the sessions with the database are kept.
"""

import os
import sys

import django
from celery import Celery, chain
from celery.worker.consumer.consumer import Consumer as CeleryConsumer
from common import SKUS, main
from django.conf import settings
from kombu import Exchange, Queue

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

app = Celery("naive", broker=os.environ["RABBITMQ_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=16,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_default_queue="naive",
    task_default_exchange="",
    task_default_exchange_type="direct",
    task_default_routing_key="naive",
    task_queues=[Queue("naive", Exchange(""), routing_key="naive", queue_arguments={"x-queue-type": "quorum"})],
    task_create_missing_queues=False,
    worker_consumer="naive:Consumer",
)


class Consumer(CeleryConsumer):
    """Celery's, without the delay queues that it would declare first."""

    class Blueprint(CeleryConsumer.Blueprint):
        """Celery's steps without native delayed delivery."""

        default_steps = [s for s in CeleryConsumer.Blueprint.default_steps if not str(s).endswith(":DelayedDelivery")]


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
    with app.connection_for_write() as broker, broker.channel() as channel:
        app.amqp.queues["naive"](channel).declare()


def start(run):
    """Publish a chain."""
    chain(*(step.si(run, number) for number in (1, 2, 3, 4))).apply_async()


def work():
    """Two prefork children."""
    name = f"naive-{os.getpid()}"
    command = [sys.executable, "-m", "celery", "-A", "naive", "worker", "-c", "2", "-n", name]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    os.execv(sys.executable, command)  # noqa: S606 - ours


if __name__ == "__main__":
    main(setup=setup, start=start, work=work)
