"""The class of the backend. Django expects it in a module of this name."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from sagas.postgresql.watchdog import Watch, within

#: Seconds within which a persistent session must answer; otherwise Django opens a new one.
USABLE_WITHIN = 2.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's class, but a wait for the server that is longer than ``patience`` ends with a lost connection."""

    @property
    def patience(self) -> float | None:
        """Seconds to wait for the answer to a statement; ``None`` for no limit."""
        said: float | None = self.settings_dict["OPTIONS"].get("patience")
        return said

    def get_connection_params(self) -> dict[str, Any]:
        """Make the driver create watched cursors."""
        params: dict[str, Any] = super().get_connection_params()
        patience = params.pop("patience", None)
        if patience is not None:
            params["cursor_factory"] = _watched(params["cursor_factory"], self.alias, patience)
        return params

    def is_usable(self) -> bool:
        """Whether a persistent session answers within ``USABLE_WITHIN``."""
        with within(USABLE_WITHIN):
            return bool(super().is_usable())

    def _commit(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            super()._commit()  # type: ignore[misc]  # private, but the same in every supported Django

    def _rollback(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            super()._rollback()  # type: ignore[misc]  # see above


def _watched(factory: Any, alias: str, patience: float) -> type[Any]:
    """Derive a cursor class whose waits for the server are watched, also where code uses the driver directly."""

    class Cursor(factory):  # type: ignore[misc]  # the driver's class
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                return super().execute(*args, **kwargs)

        def executemany(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                return super().executemany(*args, **kwargs)

        def callproc(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                return super().callproc(*args, **kwargs)

    return Cursor
