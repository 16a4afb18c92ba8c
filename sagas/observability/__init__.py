"""The engine seen from outside: traces and metrics.

Each part needs an extra of the package (``otel``, ``prometheus``), and does nothing until the project asks for it. The
engine does not know this package: it tells ``sagas.store.observers`` what it has committed.
"""
