"""The peers, by name: where each is written, what must be installed for it, who it is for the reader.

A module has ``build(work, variant)``, which returns ``step(k)``: run k steps, wait for the last, return its loss (or a
checksum); or None for a workload that the peer does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Peer:
    """One side; `ours` are drawn in colour, and what `spins` threads of its own would hang at real-time priority."""

    module: str
    says: str
    needs: tuple[str, ...] = ()
    variant: str = ""
    ours: bool = False
    spins: bool = False

    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


PEERS = {
    "naive": Peer("naive", "NumPy, hand-written"),
    "tuned": Peer("tuned", "NumPy, hand-written, out= everywhere"),
    "tuned_blocks": Peer("tuned", "NumPy, the same in blocks that fit the cache", variant="blocks"),
    "autograd": Peer("by_autograd", "HIPS autograd", ("autograd",)),
    "mygrad": Peer("by_mygrad", "MyGrad", ("mygrad",)),
    "micrograd": Peer("by_micrograd", "micrograd", ("micrograd",)),
    "tinygrad": Peer("by_tinygrad", "tinygrad, TinyJit", ("tinygrad",), spins=True),
    "torch": Peer("by_torch", "PyTorch, eager", ("torch",)),
    "torch_fused": Peer("by_torch", "PyTorch, eager, Adam(fused=True)", ("torch",), "fused"),
    "torch_compile": Peer("by_torch", "torch.compile, Adam(fused=True)", ("torch",), "compile"),
    "jax": Peer("by_jax", "jax.jit, buffers donated", ("jax",)),
    "jax_scan": Peer("by_jax", "jax.lax.scan in jax.jit", ("jax",), "scan"),
    "ours": Peer("ours", "eager", ours=True),
    "ours_nn": Peer("ours", "eager, nn layers", variant="nn", ours=True),
    "ours_numpy": Peer("ours_compiled", "compiled, NumPy only", variant="numpy", ours=True),
    "ours_jit": Peer("ours_compiled", "compiled, numba", ("numba",), "jit", ours=True),
    "ours_scan": Peer("ours_compiled", "ad.scan, compiled, numba", ("numba",), "scan", ours=True),
    "limit": Peer("limit", "limit: the matrix products, one pass of Adam", ("numba",)),
}
