"""``manage.py sagas``."""
