"""Private PostgreSQL, RabbitMQ and Redis servers for a developer's machine and for tests."""
