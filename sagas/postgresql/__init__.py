"""Django's database backend for PostgreSQL, in which every wait ends: ``"ENGINE": "sagas.postgresql"``.

``OPTIONS`` has one more key: ``patience``, the seconds to wait for the server's answer to a statement. It must be
longer than ``statement_timeout``, with which the server itself cancels a slow statement and keeps the session. Without
``patience`` the backend behaves as Django's.
"""
