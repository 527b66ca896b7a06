"""`Watch`, which looks at a model after each epoch and makes a page of what it saw."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from autodiff.display.pieces import shown
from viz.models import Loss, pair, trained
from viz.watching.looking import Glance, Unit, look_at
from viz.watching.page import page

MOST = 240          # looks that are kept


class Watch:
    """What reaches each layer while a model learns, as a film: a callback of `nn.fit`, saved as one HTML file.

    It looks at the model when it is made, and after each epoch: at the loss on the sample, the norm of the gradient
    of each layer's parameters, and the size (root mean square) of what comes out of each layer. The page plays these
    on the picture of the layers, beside the loss. A look costs one pass forward and one back on the sample, with the
    model as in use (no dropout). It changes nothing: no parameter, no `.grad`, no random number.

    Parameters
    ----------
    model : callable with named_parameters
        Such as an `nn.Module`.
    loss_fn : callable
        ``loss_fn(prediction, target)``, a scalar Tensor.
    sample : pair of array or Tensor
        The samples and targets to look at, the same ones each time: a batch will do.

    Attributes
    ----------
    units : list of Unit
        The layers, and the operations outside of any, in the order they ran at the first look.
    epochs : list of int
        Of the looks that are kept: at most 240; of a longer training every second, every fourth, ... and the last.
    looks : list of Glance
        What was seen: each with the `loss` on the sample, and `numbers` by the unit's id (`gradient`, `output`, and
        `arriving`, the norm of the gradient that reaches the output).

    Raises
    ------
    OperandError, ShapeError
        If the model has no parameters to train, the sample is no pair, or the loss is no scalar.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 32)[:, None]
    >>> model = nn.Sequential(nn.Linear(1, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1))
    >>> watch = viz.Watch(model, nn.MSELoss(), (x, x ** 2))
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> history = nn.fit(model, nn.MSELoss(), (x, x ** 2), optimizer, epochs=20, progress=False, callbacks=[watch])
    >>> watch
    <Watch of Sequential: 21 looks at 4 layers, epochs 0 to 20>
    >>> watch.looks[-1].loss < watch.looks[0].loss
    True
    """

    def __init__(self, model: Any, loss_fn: Loss, sample: Any) -> None:
        trained(model)
        self.model, self.loss_fn = model, loss_fn
        self.x, self.y = pair(sample)
        self.title = type(model).__name__
        self.history: Any = None
        self.every = 1
        self.count = 0
        self.epochs: list[int] = []
        self.looks: list[Glance] = []
        self.units: list[Unit] = []
        self.look()

    def __call__(self, model: Any = None, history: Any = None) -> None:
        """Look at the model after an epoch; `nn.fit` calls this, and so may a loop of your own.

        Parameters
        ----------
        model : optional
            Not needed: the model is the one it was made for.
        history : optional
            The losses so far: `train_loss` and `validation_loss` are drawn beside the loss on the sample.
        """
        self.history = history if history is not None else self.history
        self.count += 1
        self.look()

    def look(self) -> None:
        """Look once more; what lies too close together is dropped, but the last look."""
        units, seen = look_at(self.model, self.loss_fn, self.x, self.y)
        self.units = self.units or units
        if self.epochs and self.epochs[-1] % self.every:
            del self.epochs[-1], self.looks[-1]
        self.epochs.append(self.count)
        self.looks.append(seen)
        if len(self.looks) > MOST:
            self.every *= 2
            kept = [i for i, epoch in enumerate(self.epochs) if epoch % self.every == 0 or i == len(self.epochs) - 1]
            self.epochs, self.looks = [self.epochs[i] for i in kept], [self.looks[i] for i in kept]

    def html(self) -> str:
        """The page as text: one file that needs nothing else."""
        return page(self)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Raises
        ------
        ValueError
            If the name does not end in ``.html``.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a film of training is an HTML page; end the name {path.name!r} in .html")
        path.write_text(self.html(), encoding="utf-8", newline="\n")
        return path

    def __repr__(self) -> str:
        layers = sum(unit.is_layer for unit in self.units)
        looks = f"{len(self.looks)} look{'s' if len(self.looks) > 1 else ''}"
        return (f"<Watch of {self.title}: {looks} at {layers} layer{'' if layers == 1 else 's'}, "
                f"epochs {self.epochs[0]} to {self.epochs[-1]}>")

    def _repr_html_(self) -> str | None:
        return shown(framed_page)(self)


def framed_page(watch: Watch) -> str:
    """The page within a notebook, in a frame of its own."""
    return (f'<iframe srcdoc="{escape(watch.html())}" sandbox="allow-scripts" width="100%" height="720" '
            f'style="border:0" title="training of {escape(watch.title)}"></iframe>')
