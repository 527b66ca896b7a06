"""`History`, what a training run leaves behind: losses, metrics and times, epoch by epoch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from autodiff.display.pieces import picked
from nn.notebook import history_html

SHOWN = 10          # epochs in the table that `repr` shows


@dataclass(repr=False)
class History:
    """Losses, metrics and times of each epoch.

    Attributes
    ----------
    train_loss : list of float
        The mean loss over the epoch's batches, weighted by their sizes; taken while the parameters moved.
    validation_loss : list of float
        The loss on the validation data after each epoch; empty without such data.
    metrics : dict of str to list of float
        Each metric after each epoch, on the validation data if there are any, else on the training data.
    seconds : list of float
        What each epoch took.
    interrupted : bool
        Whether Ctrl-C ended it. Epochs are counted when they are complete.

    Examples
    --------
    >>> history = nn.History(train_loss=[0.7, 0.5], seconds=[0.1, 0.1])
    >>> history
    epoch  train_loss  seconds
        1         0.7      0.1
        2         0.5      0.1
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.train_loss)

    @property
    def columns(self) -> dict[str, list[float]]:
        """What there is, by name."""
        named = {"train_loss": self.train_loss, "validation_loss": self.validation_loss, **self.metrics,
                 "seconds": self.seconds}
        return {name: values for name, values in named.items() if values}

    def __repr__(self) -> str:
        columns = self.columns
        rows = [["epoch", *columns]]
        for i in picked(len(self), SHOWN):
            rows.append(["..."] * len(rows[0]) if i is None else
                        [str(i + 1), *(f"{values[i]:.4g}" for values in columns.values())])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        if self.interrupted:
            lines.append(f"interrupted in epoch {len(self) + 1}")
        return "\n".join(lines)

    def _repr_html_(self) -> str | None:
        return history_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists of numbers, for JSON."""
        return {"train_loss": list(self.train_loss), "validation_loss": list(self.validation_loss),
                "metrics": {name: list(values) for name, values in self.metrics.items()},
                "seconds": list(self.seconds), "interrupted": self.interrupted}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The loss curves, and the metrics below them, as a Matplotlib figure.

        Parameters
        ----------
        path : str or path, optional
            Where to save it; the suffix says as what.

        Raises
        ------
        ImportError
            If Matplotlib is not installed, with the command that installs it.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("history.plot() draws with Matplotlib; install it with: "
                              "python -m pip install matplotlib") from error
        figure = Figure(figsize=(6.4, 3.6 if not self.metrics else 5.6), layout="constrained")
        panels = [axes for row in figure.subplots(2 if self.metrics else 1, sharex=True, squeeze=False) for axes in row]
        epochs = range(1, len(self) + 1)
        panels[0].plot(epochs, self.train_loss, label="training")
        if self.validation_loss:
            panels[0].plot(epochs, self.validation_loss, label="validation")
        panels[0].set_ylabel("loss")
        for name, values in self.metrics.items():
            panels[1].plot(epochs, values, label=name)
        panels[-1].set_xlabel("epoch")
        for axes in panels:
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend()
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
