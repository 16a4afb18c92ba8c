"""The only room that knows Celery and RabbitMQ."""

from sagas.requirements import extras

extras.require("celery", "A broker")
