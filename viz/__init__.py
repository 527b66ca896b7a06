"""Pictures of computation graphs, drawn from a tape.

>>> W = ad.Tensor([[1.0, -1.0]], requires_grad=True)
>>> loss = np.tanh(W).sum()
>>> viz.draw(loss)
<Drawing of loss: 3 tensors, 2 operations>

What is drawn is a graph (`viz.graph`), made of a tape by `viz.build` (operations; layers, by `viz.folding`) or
`viz.scalars` (single numbers); how, is a writer's business (`viz.dot`, `viz.scalar_dot`). The DOT text needs nothing;
SVG and PNG need a dot engine (`viz.engines`).

Training is drawn too: `viz.Watch` plays what reached each layer, `viz.landscape` draws the loss as a landscape.
"""

from viz.drawing import Drawing, draw
from viz.engines import RenderError
from viz.landscapes.landscape import Landscape, landscape
from viz.watching.watch import Watch

__all__ = ["Drawing", "Landscape", "RenderError", "Watch", "draw", "landscape"]
