"""Settings of the documentation: `make docs` builds it into docs/_build/html, without a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
os.environ.setdefault("COLUMNS", "100")

import qmlphys  # noqa: E402

project = "qmlphys"
author = "The qmlphys developers"
copyright = "the qmlphys developers, Apache-2.0"  # noqa: A001 - Sphinx's own name for it
version = release = qmlphys.__version__
language = "en"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "mathml", "reference", "commands", "gallery"]
exclude_patterns = ["_build", ".gitignore"]
root_doc = "index"
default_role = "name"
highlight_language = "python"
# `GroundState` is the name of a result in two rooms; where a type alone does not tell which, there is no link.
suppress_warnings = ["ref.python"]

autodoc_typehints = "none"  # types, shapes and units stand in the docstrings
autodoc_preserve_defaults = True
autodoc_member_order = "groupwise"
maximum_signature_line_length = 72
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"  # the outputs are those that are committed; `make tutorials` runs the notebooks
nb_merge_streams = True

html_theme = "furo"
html_title = "qmlphys"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "footer_icons": []}
pygments_style = "friendly"
