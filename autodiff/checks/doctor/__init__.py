"""Why a gradient is wrong: the search for the mistake that gives exactly what was given.

Read in this order: `suspects` (what is reasoned about), `backprop` (the walk back, edge by edge), `mistaken` (what may
go wrong at an edge; the table itself is `autodiff.checks.mistakes`), `substitution` (wrong tensors), `relations`
(gradients as they were returned), `nodes` (several edges that meet), `steps` and `norms` (several operations as one),
`search` (one mistake). Then those at several places: `loops`, `sequences`, `blocks`, `caches` and `rounds` (every time
round a loop), `groups` (the same one everywhere), `several` (two), `replaced` (another form), `forwards` (another
forward pass), `mutants` (what a rule reads, made wrongly). At last `diagnosis` (all of it), `fair` (what else it may be
called), `explanation`, `formulas` and `factors` (in words), `consequences` (what the mistake makes on the way), `spots`
and `evidence` (with what their lines say).
"""
