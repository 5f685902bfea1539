"""How Sphinx builds these pages: sphinx-build -W -n docs OUT, without the network.

`generated.py` beside this file writes what the code already says (commands, sweep keys, records, names), each time the
pages are built.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import mdl

project = "mdl"
author = "the mdl contributors"
version = release = mdl.__version__
project_copyright = "the mdl contributors, MIT license"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "generated", "pictures", "typography"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
root_doc = "index"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("npt.ArrayLike", "Floats", "Ints")}  # not what numpy makes of them
python_use_unqualified_type_names = True
default_role = "literal"  # docstrings quote names by single backticks
numpydoc_show_class_members = False

# A reference to a name of ours must lead somewhere. Other projects' names would need the network to be looked up, and
# what stands behind a door, such as mdl.sizing.answer, has no page of its own.
nitpick_ignore_regex = [("py:.*", r"(?!mdl\.|analysis\.).*"), ("py:.*", r"(mdl|analysis)\.[a-z_]+\..*")]

smartquotes = False  # --json is not –json
html_theme = "furo"
html_title = "mdl"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sphinx = False
html_copy_source = False
