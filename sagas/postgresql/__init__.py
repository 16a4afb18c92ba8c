"""Django's backend of PostgreSQL, with an end to every wait: ``"ENGINE": "sagas.postgresql"``.

``OPTIONS`` takes one key more: ``patience``, seconds that one waits for the server's answer to a statement. Give it
more than ``statement_timeout``, by which the server itself ends a statement that takes long and keeps the session.
Without ``patience`` it is Django's own.
"""
