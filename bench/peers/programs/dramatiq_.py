"""dramatiq: a pipeline of four actors on RabbitMQ with publisher confirms; two processes of eight threads, its default.

Its queues are classic and durable: it cannot declare quorum queues. It acknowledges after the work.
"""

import os
import sys

import dramatiq
from common import main, perform
from dramatiq.brokers.rabbitmq import RabbitmqBroker

# pika takes an empty path for an empty name of a virtual host.
URL = os.environ["RABBITMQ_URL"].rstrip("/") + "/%2F"
broker = RabbitmqBroker(url=URL, confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench_dramatiq")
def step(run, number):
    """One step."""
    perform(run, number)


def setup():
    """Its actors declare the queue."""


def start(run):
    """Send a pipeline: each message carries the rest."""
    dramatiq.pipeline(
        [step.message_with_options(args=(run, number), pipe_ignore=True) for number in (1, 2, 3, 4)]
    ).run()


def work():
    """Two processes."""
    command = [sys.executable, "-m", "dramatiq", "dramatiq_", "--processes", "2", "--threads", "8"]
    os.execv(sys.executable, command)  # noqa: S606 - ours


if __name__ == "__main__":
    main(setup=setup, start=start, work=work)
