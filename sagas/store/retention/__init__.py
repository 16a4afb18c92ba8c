"""SQL of what is deleted: whole runs that ended long ago, and personal data of runs that stay."""

from sagas.store.retention import erasures, pruning

__all__ = ["erasures", "pruning"]
