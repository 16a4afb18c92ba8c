"""The engine without a broker: the process that claims performs. ``manage.py sagas work`` starts it."""
