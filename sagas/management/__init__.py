"""The subcommands of ``manage.py sagas``."""
