#!/usr/bin/env python3
"""Django's command line for drinkgroup."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drinkgroup.settings")
    if sys.argv[1:2] == ["migrate"]:
        # An index takes as long as it takes.
        os.environ.setdefault("STATEMENT_TIMEOUT", "0")
    execute_from_command_line(sys.argv)
