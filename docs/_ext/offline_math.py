"""Formulas as MathML, which browsers typeset by themselves: no script, nothing fetched, readable offline.

Docutils, on which Sphinx stands, knows how to translate LaTeX to MathML. A formula that it cannot
translate is a warning, and so an error in our build.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

# An entity that only XML knows; accents that fonts stretch; a prime.
SPELLED = {"&ApplyFunction;": "&#x2061;", ">ˆ<": ">^<", ">ˉ<": ">¯<", ">'<": ">′<"}
logger = logging.getLogger(__name__)


def translated(node, block):
    """The formula of a node as MathML."""
    try:
        text = tex2mathml(node.astext(), as_block=block)
    except (MathError, SyntaxError) as error:
        logger.warning("cannot be written as MathML: %s: %s", error, node.astext(), location=node)
        return f"<code>{nodes.unescape(node.astext())}</code>"
    for short, good in SPELLED.items():
        text = text.replace(short, good)
    return text


def inline(translator, node):
    """A formula within a sentence."""
    translator.body.append(f'<span class="formula">{translated(node, False)}</span>')
    raise nodes.SkipNode


def display(translator, node):
    """A formula on lines of its own."""
    translator.body.append(f'<div class="formula">{translated(node, True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Sphinx asks for this."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
