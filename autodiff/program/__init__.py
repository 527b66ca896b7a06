"""What every reader of a tape shares: a tape as a program that can be rewritten, and its NumPy text.

A program is still made of records. `lifting` gives a tape whose arrays are all inputs, `backward` the program of its
gradient; `passes` and `simplification` (with `factors`) rewrite it: dead code, common subexpressions, trivial algebra.
`closed` finds closed forms of cotangents by exact algebra (`polynomial`, `algebra`, `formula`). `text` says how each
operation is written in NumPy (with `writing`, `placing`, `literals`; `helpers` and `embedding` for what takes a
function of its own), and `lines` and `function` lay a program out as the text of a function.
"""
