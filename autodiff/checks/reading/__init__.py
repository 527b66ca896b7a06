"""Reads a gradient somebody wrote as a function, line by line, and finds the first that is wrong.

Read in this order: `hooks` and `their_code` (their function, every value looked at or replaced), `quantities` and
`known` (what the tape knows), `status` (what each of their values is), `elsewhere` (other values of the parameters),
`samples` (single samples and steps), `reach` (which gradients a line is to blame for), `blame` (where values get
strange), `repair`, `replacing`, `moments` and `likely` (which line, put right, makes the gradients right), `edits`,
`arrangements`, `constants` and `rewriting` (the line as it should read), `trials` (small changes of lines, one by
one), `retold` (the line by what the mistake makes), `findings` and `telling` (in words), `reader` (all of it);
`expressions`, `forms`, `renamed`, `looks` and `line_changes` (what was changed between two lines), `measured` (the
same by their numbers) and `line_kinds` (what kinds of mistake that may be called).
"""
