"""Reads a gradient somebody wrote as a function, line by line, and finds the first that is wrong.

Read in this order: `hooks` and `their_code` (their function, every value looked at or replaced), `quantities` and
`known` (what the tape knows), `status` (what each of their values is), `elsewhere` (other values of the parameters),
`reach` (which gradients a line is to blame for), `repair` (which line, put right, makes the gradients right), `edits`,
`constants` and `rewriting` (the line as it should read), `trials` (small changes of lines, one by one), `findings`
and `reader` (all of it), `expressions` and `line_kinds` (the kind of mistake).
"""
