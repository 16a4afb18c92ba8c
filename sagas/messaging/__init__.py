"""The only room that knows Celery and RabbitMQ."""
