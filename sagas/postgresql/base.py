"""The backend itself, where Django looks for it."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from sagas.postgresql.watchdog import Watch, within

#: Seconds that a kept session has to show that it is still one: the next question is to a new one.
USABLE_WITHIN = 2.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own; whoever waits for the server longer than ``patience`` finds the connection lost."""

    @property
    def patience(self) -> float | None:
        """Seconds that a statement is waited for; ``None`` for ever."""
        said: float | None = self.settings_dict["OPTIONS"].get("patience")
        return said

    def get_connection_params(self) -> dict[str, Any]:
        """Have the driver make cursors that are watched."""
        params: dict[str, Any] = super().get_connection_params()
        patience = params.pop("patience", None)
        if patience is not None:
            params["cursor_factory"] = _watched(params["cursor_factory"], self.alias, patience)
        return params

    def is_usable(self) -> bool:
        """Whether a kept session still answers, soon."""
        with within(USABLE_WITHIN):
            return bool(super().is_usable())

    def _commit(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            super()._commit()  # type: ignore[misc]  # private, and the same in every Django

    def _rollback(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            super()._rollback()  # type: ignore[misc]  # see above


def _watched(factory: Any, alias: str, patience: float) -> type[Any]:
    """A class of the driver's cursors whose waits for the server are watched: Django's, and those of anybody else."""

    class Cursor(factory):  # type: ignore[misc]  # of whichever driver
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
