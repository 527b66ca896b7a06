"""How a long run tells where it is: a tqdm bar if that is installed, otherwise a readable number of plain lines."""

from __future__ import annotations

import sys
from typing import Any

LINES = 20          # about how many lines a run prints without tqdm


class Progress:
    """Told of every epoch; writes to standard error."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self.epochs = epochs
        self.shown = shown
        self.every = max(1, epochs // LINES)
        self.bar = bar(epochs) if shown else None

    def epoch(self, done: int, numbers: dict[str, float]) -> None:
        """`done` epochs are complete, the last with these numbers."""
        text = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update()
        elif self.shown and (done % self.every == 0 or done in (1, self.epochs)):
            print(f"epoch {done}/{self.epochs}: {text}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


def bar(epochs: int) -> Any:
    """A tqdm bar, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=epochs, desc="training", unit="epoch", file=sys.stderr)
