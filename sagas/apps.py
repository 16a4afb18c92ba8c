"""The Django app: finds every app's ``sagas.py``, and registers the system checks."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _

from sagas import runtime
from sagas.requirements import software

logger = logging.getLogger(__name__)


class SagasConfig(AppConfig):
    """The engine as an installed app."""

    name = "sagas"
    verbose_name = _("Sagas")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        # Here, because Django makes all configurations before it imports any app's models.
        software.insist_on_django_and_driver()
        if self.label != "sagas":
            msg = f"the engine's label must be 'sagas', and not {self.label!r}: its tables have this name"
            raise ImproperlyConfigured(msg)
        other = apps.app_configs.get(self.label)
        if other is not None and other.name != self.name:
            msg = (
                f"the app {other.name!r} has the label 'sagas', which is the engine's: give it another one, by label=… "
                "in its AppConfig (docs/how-to/install.md)"
            )
            raise ImproperlyConfigured(msg)

    def ready(self) -> None:
        """Import the definitions of all apps, and the checks."""
        # Importing registers the checks. It needs the settings.
        from sagas import checks  # noqa: F401, PLC0415
        from sagas.metrics import catalogue  # noqa: F401, PLC0415 - the engine's own are declared by it
        from sagas.observability import counting  # noqa: PLC0415
        from sagas.requirements import server_settings  # noqa: PLC0415

        runtime.declared.begin_flushing = _begin_flushing
        counting.begin()
        connection_created.connect(server_settings.begin_session, dispatch_uid="sagas.begin_session")
        autodiscover()


def _begin_flushing() -> None:
    # Imported by what counts: it needs a driver, and the checks say so if there is none.
    from sagas.observability import flushing  # noqa: PLC0415

    flushing.begin()


def autodiscover() -> None:
    """Import the module ``sagas`` of every installed app that has one.

    If a module cannot be imported, its error is kept and not raised, because the worker must serve the other sagas. The
    error is logged once, ``manage.py check`` reports it, and the module's runs wait and are then escalated.
    """
    for config in apps.get_app_configs():
        module = f"{config.name}.sagas"
        if config.name == SagasConfig.name or find_spec(module) is None:
            continue
        try:
            import_module(module)
        except Exception as error:
            runtime.declared.failed_imports[module] = error
            logger.exception("sagas: %s cannot be imported; its runs wait", module)
