"""How the pages are built: `make docs`. Every code cell is executed; one that fails fails the build."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]           # our extensions; the tests' declared table

import autodiff  # noqa: E402  # so that it can be found

project = "wengert"
author = "the authors of wengert"
copyright = f"{author}, Apache-2.0"
version = release = autodiff.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "offline_math", "public_names", "coverage_table"]
exclude_patterns = ["_build", "_ext", "jupyter_execute"]

# ---- pages

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"                 # never from a cache: the pages show the code as it is
nb_execution_raise_on_error = True
nb_execution_timeout = 60
nb_merge_streams = True

# Kernels start with this profile: cells are called "cell 3" wherever a line of the user's code is named, and
# pictures are shown in the colours of the page.
profile = HERE / "_build" / "ipython"
(profile / "profile_default" / "startup").mkdir(parents=True, exist_ok=True)
(profile / "profile_default" / "startup" / "cells.py").write_text(
    'get_ipython().compile.get_code_name = lambda raw, code, number: f"cell {number}"\n'
    f"import os, sys, numpy; os.chdir({str(HERE.parent)!r}); numpy.set_printoptions(precision=4, suppress=True)\n"
    f"sys.path[1:1] = [{str(HERE.parent)!r}, {str(HERE / '_ext')!r}]\n"
    "from both_themes import both_themes, landscape_in_both\n"
    "html = get_ipython().display_formatter.formatters['text/html']\n"
    "html.for_type_by_name('viz.drawing', 'Drawing', both_themes)\n"
    "html.for_type_by_name('viz.landscapes.landscape', 'Landscape', landscape_in_both)\n"
    "del os, sys, numpy, html, both_themes, landscape_in_both\n")
(profile / "profile_default" / "ipython_kernel_config.py").write_text(
    "c = get_config(); c.Application.log_level = 40; c.InteractiveShell.xmode = 'Minimal'\n")
os.environ["IPYTHONDIR"] = str(profile)

# ---- the reference

default_role = "py:obj"                     # `grad` links where there is such a name, and is code where not
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", ".*")]      # types are words: "sequence of Tensor"
suppress_warnings = ["ref.python"]          # `.grad` may be two things
autodoc_typehints = "none"                  # the docstrings say it, with shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "extra_repr"}
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False

# ---- looks

html_theme = "pydata_sphinx_theme"
html_title = "wengert"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"**": ["all-pages"]}
templates_path = ["_templates"]
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
    "footer_start": ["copyright"],
    "footer_end": [],
}
