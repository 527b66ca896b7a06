"""A tape as a fast program: recorded once, optimised, and run without recording.

From the function to what runs, room by room: `tracing` records it, on arrays of `lazy`, which have shapes but no
numbers yet; `lowering` takes composite operations apart and folds constants; `schedule` puts records into nodes, one
call each, and `planning` gives their results places in one workspace; `emission` writes the Python around them
(`operands` has the names, `numpy_calls` and `blocks` the calls, `parts` makes several functions of a long one). With
numba, `loop_text` and `loops` write loops (`elementary` their functions, `object_code` compiles them, `cache` keeps
that, `machine_code` loads it), and `whole` a tiny program as one of them. `specialised` is all that for one kind of
arguments, `compiled` the function with its kinds, `recorded` the same as an operation on a tape.

A loop over steps, `ad.scan`, is `scanning`; its operation is `looping`, a step of it `steps`, its rule `pulling` and
`deferring`, its native form `native_loop`, its text `step_text`.
"""
