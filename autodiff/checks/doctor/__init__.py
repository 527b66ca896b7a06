"""Why a gradient is wrong: the search for the mistake that gives exactly what was given.

Read in this order: `suspects` (what is reasoned about), `backprop` (the walk back, edge by edge), `search` (one),
`groups` and `several` (the same one in many places, and two), `diagnosis` (all of it), `explanation` (in words).
The mistakes themselves stand in `autodiff.checks.mistakes`.
"""
