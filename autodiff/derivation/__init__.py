"""A tape as mathematics: `ad.derive`.

`graph` folds a tape into the steps a person would write, `structure` says what their Jacobians look like, `formulas`
how each operation is written; `steps` puts the chain rule together and checks it in numbers, `derivation` lays it out,
`cost` counts. All of it is one expression tree (`notation`), typeset by three writers (`text`, `latex`, `mathml`).
"""
