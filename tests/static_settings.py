"""The project's settings with the laboratory's app, and no servers started: for tools that only read code."""

from drinkgroup.settings import *  # noqa: F403 - all of the project's
from drinkgroup.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.lab"]
