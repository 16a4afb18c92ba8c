"""celery-saga: state in Redis, orchestrator tasks between the steps; each step is one transaction by psycopg.

Quorum queue, publisher confirms, late acks, prefetch 16.
"""

import os
import sys

from celery import Celery
from celery.worker.consumer.consumer import Consumer as CeleryConsumer
from celery_saga import Saga, StepResponse, saga_step, set_default_backend
from celery_saga.backends import RedisSagaBackend
from common import main, perform
from kombu import Exchange, Queue

app = Celery("celery_saga_", broker=os.environ["RABBITMQ_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_default_queue="celery_saga",
    task_default_exchange="",
    task_default_exchange_type="direct",
    task_default_routing_key="celery_saga",
    task_queues=[
        Queue("celery_saga", Exchange(""), routing_key="celery_saga", queue_arguments={"x-queue-type": "quorum"})
    ],
    task_create_missing_queues=False,
    worker_consumer="celery_saga_:Consumer",
)
app.set_default()
set_default_backend(RedisSagaBackend(url=os.environ["REDIS_URL"]))


class Consumer(CeleryConsumer):
    """Celery's, without the delay queues that it would declare first."""

    class Blueprint(CeleryConsumer.Blueprint):
        """Celery's steps without native delayed delivery."""

        default_steps = [s for s in CeleryConsumer.Blueprint.default_steps if not str(s).endswith(":DelayedDelivery")]


@app.task(name="undo")
def undo(compensation_data):
    """Never called here."""


def _task(number):
    @saga_step(compensate="undo")
    @app.task(name=f"step_{number}")
    def step(**kwargs):
        perform(kwargs["run"], number)
        return StepResponse(output={"run": kwargs["run"]}, compensation_data={"run": kwargs["run"]})

    return step


saga = Saga("bench")
for _number in (1, 2, 3, 4):
    saga.add_step(_task(_number))


def setup():
    """Declare the queue."""
    with app.connection_for_write() as broker, broker.channel() as channel:
        app.amqp.queues["celery_saga"](channel).declare()


def start(run):
    """Run the saga."""
    saga.run(run=run)


def work():
    """Two prefork children."""
    name = f"saga-{os.getpid()}"
    command = [sys.executable, "-m", "celery", "-A", "celery_saga_", "worker", "-c", "2", "-n", name]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    os.execv(sys.executable, command)  # noqa: S606 - ours


if __name__ == "__main__":
    main(setup=setup, start=start, work=work)
