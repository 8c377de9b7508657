"""How Sphinx builds the site: `.venv/bin/sphinx-build -nW --keep-going docs docs/_build/html`."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import raphson

project = "raphson"
author = "the raphson developers"
version = release = raphson.__version__
html_title = project

extensions = ["sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath"]
# GitHub's anchors, so that a link works on both sides.
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove-warn"
# How what is printed arrives in pieces differs from build to build.
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

# In docstrings `name` is a link where it is a name of ours.
default_role = "autolink"
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Beside the page there is no room for the name of the class before each of its methods.
toc_object_entries_show_parents = "hide"
# The inventories of other projects would be fetched by each build.
nitpick_ignore_regex = [("py:.*", r"(scipy|desc|functools)\..*|object")]

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "logo": {"text": project},
    "header_links_before_dropdown": 9,
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "sidebar_includehidden": False,
    "footer_start": [],
    "footer_end": [],
}


def mathml(node, **how):
    """Write mathematics that browsers draw by themselves: no script, no network."""
    # The bars of a norm are no operators, and their size is that of a letter.
    return re.sub(
        r"<mo[^>]*>([|‖])</mo>",
        r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>',
        tex2mathml(node.astext(), **how),
    )


def visit_math(self, node):
    """Write a formula in the text."""
    self.body.append(mathml(node))
    raise nodes.SkipNode


def visit_math_block(self, node):
    """Write a formula by itself."""
    self.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def drop_last_empty_lines(app, doctree):
    """Examples that run as doctests end with an empty line, which is not to be shown."""
    for block in doctree.findall(nodes.literal_block):
        block.rawsource = block.astext().rstrip()
        block[:] = [nodes.Text(block.rawsource)]


def drop_class(app, what, name, obj, options, signature, annotation):
    """Numpydoc takes the `$cls` of class methods in Rust for an argument; keep it from them."""
    if "$cls" in (getattr(obj, "__text_signature__", None) or ""):
        return signature, annotation
    return None


def setup(app):
    """Register these."""
    app.connect("autodoc-process-signature", drop_class, priority=400)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", drop_last_empty_lines)


html_math_renderer = "mathml"
