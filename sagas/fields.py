"""Columns for which Django's own fields need a driver of PostgreSQL as soon as they are imported."""

from __future__ import annotations

from typing import Any

from django.db import models


class BigIntegers(models.Field):  # type: ignore[type-arg]  # not subscriptable without django-stubs-ext
    """An array of numbers. What reads and writes it is SQL of ``sagas.store``.

    Not Django's ``ArrayField``: a project without a driver, or on another database, is to be told what it needs
    (``sagas.E004``), and not what it cannot import.
    """

    def db_type(self, connection: Any) -> str:  # noqa: ARG002 - as Django calls it
        """The column's type."""
        return "bigint[]"
