"""The site, ``make docs``: Sphinx reads the Markdown of this folder, and the docstrings of ``sagas``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "site_extensions")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.static_settings")
django.setup()

project = "django-sagas"
author = "the authors of django-sagas"
copyright = author  # noqa: A001 - Sphinx's name
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "repository_links"]
exclude_patterns = ["site_extensions", "README.zh-CN.md"]
html_theme = "furo"
html_title = "django-sagas"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

# Anchors as GitHub makes them: the same links work in both places.
myst_heading_anchors = 4
# Where files of the repository outside this folder can be read; without it their names stand there without a link.
repository_url = os.environ.get("DOCS_REPOSITORY_URL", "")

napoleon_custom_sections = [("Class attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_ivar = True
# The types of Django, uuid and typing have no page here.
nitpicky = False
