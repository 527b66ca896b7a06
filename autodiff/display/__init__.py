"""How tensors, tapes, reports and derivations look in a notebook: one style, in HTML that stands alone.

Nothing is loaded from elsewhere, no script runs, and the style holds for these elements only. Colours are mixed from
the notebook's own text colour, so that light and dark need no telling apart. What cannot be shown is left to its text.
"""
