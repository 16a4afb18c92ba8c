"""The project: settings and URLs. Its workers are the engine's: ``celery -A sagas worker``."""
