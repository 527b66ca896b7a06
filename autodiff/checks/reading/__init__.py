"""Reads a gradient somebody wrote as a function, line by line, and finds the first that is wrong.

Read in this order: `hooks` and `their_code` (their function, every value looked at or replaced), `known` (what the tape
knows), `status` (what each of their values is), `elsewhere` (other values of the parameters), `repair` (which line, put
right, makes the gradients right), `edits`, `constants` and `rewriting` (the line as it should read), `earlier` (a line
before it), `reader` (all of it), `line_kinds` (the kind of mistake).
"""
