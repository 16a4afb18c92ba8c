"""A Django app of the tests: sagas that fail on demand, and tables that count effects."""
