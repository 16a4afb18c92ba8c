"""A Django app of the tests whose tables are in another database."""
