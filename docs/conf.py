"""Settings of the site of the docs: `make docs` builds it with Sphinx.

The source is the whole repository, so that the pages can link to files as they do elsewhere.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import gkcmn_tf  # noqa: E402

project = "GKCMN in Keras and TensorFlow"
author = "the maintainers of GKCMN-TF"
version = release = gkcmn_tf.__version__
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**.md",
    "data/shapes/*.md",
    "benchmarks/README.md",
    "gkcmn_tf/presets/*/README.md",
]
exclude_patterns = [".*", "runs", "**/__pycache__"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

myst_heading_anchors = 3
# The blocks of the pages without a language are commands and their output.
highlight_language = "none"

# Docstrings have code in single backticks, as in Markdown.
default_role = "code"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Call arguments", "params_style")]

html_theme = "furo"
html_title = "GKCMN"
html_static_path = ["site"]
html_css_files = ["pages.css"]
html_extra_path = ["site/index.html"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def show_as_written(app, what, name, documented, options, lines):
    """Keeps commands and tables in the docstrings of modules as they are: they are not reST."""
    del app, name, documented, options
    if what != "module":
        return
    shown, paragraph = [], []
    for line in [*lines, ""]:
        if line:
            paragraph.append(line)
            continue
        first, rest = paragraph[:1], paragraph[1:]
        is_list = first and first[0].startswith("- ")
        if first and first[0].startswith((" ", "|")):
            shown += ["::", "", *(f"    {written}" for written in paragraph)]
        elif any(written.startswith(" ") for written in rest) and not is_list:
            shown += [*first, "", "::", "", *(f"    {written}" for written in rest)]
        else:
            shown += paragraph
        shown.append("")
        paragraph = []
    lines[:] = shown


def setup(app):
    """Registers the function above, before napoleon's."""
    app.connect("autodoc-process-docstring", show_as_written, priority=100)
