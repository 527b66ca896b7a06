"""Counts by a Poisson model: log link, one hidden tanh layer, log exposure as offset."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("A", "a0", "v", "v0")


def data(rng, dtype):
    return {"X": rng.normal(size=(8, 5)).astype(dtype), "exposure": rng.uniform(0.4, 3, size=8).astype(dtype),
            "counts": rng.integers(0, 6, size=8), "A": (0.6 * rng.normal(size=(3, 5))).astype(dtype),
            "a0": rng.normal(size=3).astype(dtype), "v": (0.6 * rng.normal(size=3)).astype(dtype),
            "v0": rng.normal(size=()).astype(dtype)}


def loss(X, exposure, counts, A, a0, v, v0):
    u = X @ A.T + a0
    h = np.tanh(u)
    eta = h @ v + v0 + np.log(exposure)
    rate = np.exp(eta)
    nll = np.mean(rate - counts * eta)
    return nll


def residuals(X, exposure, counts, A, a0, v, v0):
    h = np.tanh(X @ A.T + a0)
    rate = exposure * np.exp(h @ v + v0)
    r = (rate - counts) / len(counts)
    d_v = h.T @ r
    d_v0 = r.sum()
    d_h = np.outer(r, v)
    d_u = d_h * (1 - h ** 2)
    d_A = d_u.T @ X
    d_a0 = d_u.sum(axis=0)
    return {"A": d_A, "a0": d_a0, "v": d_v, "v0": d_v0, "h": d_h, "u": d_u}


def row_by_row(X, exposure, counts, A, a0, v, v0):
    n = len(X)
    gA, ga0, gv, gv0, nll = np.zeros_like(A), np.zeros_like(a0), np.zeros_like(v), 0.0, 0.0
    for x, w, k in zip(X, exposure, counts):
        h = np.tanh(A @ x + a0)
        eta = h @ v + v0 + np.log(w)
        lam = np.exp(eta)
        nll += (lam - k * eta) / n
        g_rate = 1 - k / lam
        g_eta = g_rate * lam
        g_u = g_eta * v * (1 - h) * (1 + h)
        gv += g_eta * h
        gv0 += g_eta
        gA += np.outer(g_u, x)
        ga0 += g_u
    return {"A": gA / n, "a0": ga0 / n, "v": gv / n, "v0": gv0 / n, "loss": nll}


def einsums(X, exposure, counts, A, a0, v, v0):
    n = counts.size
    u = np.einsum("ni,hi->nh", X, A) + a0
    h = np.tanh(u)
    eta = np.einsum("nh,h->n", h, v) + v0 + np.log(exposure)
    grad_rate = np.ones(n) / n
    grad_eta = grad_rate * np.exp(eta)
    grad_eta = grad_eta - counts / n
    grad_h = np.einsum("n,h->nh", grad_eta, v)
    grad_u = grad_h * np.cosh(u) ** -2
    grad_A = np.einsum("nh,ni->hi", grad_u, X)
    grad_a0 = np.einsum("nh->h", grad_u)
    grad_v = np.einsum("n,nh->h", grad_eta, h)
    grad_v0 = np.einsum("n->", grad_eta)
    return {"dA": grad_A, "da0": grad_a0, "dv": grad_v, "dv0": grad_v0}


RIGHT = (residuals, row_by_row, einsums)

SLIPS = (
    Slip("exposure left out of the rate", residuals,
         ("rate = exposure * np.exp(h @ v + v0)", "rate = np.exp(h @ v + v0)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "rate eta exposure", "exp add")),
    Slip("exposure itself as the offset, not its log", residuals,
         ("rate = exposure * np.exp(h @ v + v0)", "rate = np.exp(h @ v + v0 + exposure)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "rate eta exposure", "exp add")),
    Slip("observed minus expected", residuals,
         ("r = (rate - counts) / len(counts)", "r = (counts - rate) / len(counts)"),
         label=label("sign", "eta nll rate", "exp mean subtract multiply")),
    Slip("averaged by the total exposure", residuals,
         ("r = (rate - counts) / len(counts)", "r = (rate - counts) / exposure.sum()"),
         label=label("scale", "eta nll rate", "exp mean subtract multiply")),
    Slip("tanh' forgotten at u", residuals, ("d_u = d_h * (1 - h ** 2)", "d_u = d_h"),
         label=label("missing-local-derivative", "u h", "tanh")),
    Slip("residual weighted by the rate as in least squares", residuals,
         ("r = (rate - counts) / len(counts)", "r = (rate - counts) * rate / len(counts)"),
         label=label("double-derivative wrong-local-rule", "eta rate nll", "exp")),
    Slip("v0 averaged", residuals, ("d_v0 = r.sum()", "d_v0 = r.mean()"),
         label=label("scale", "v0 eta", "add")),
    Slip("v from the gradient of h", residuals, ("d_v = h.T @ r", "d_v = d_h.T @ r"),
         ("d_h = np.outer(r, v)", ""), ("r = (rate - counts) / len(counts)",
                                        "r = (rate - counts) / len(counts)\nd_h = np.outer(r, v)"),
         label=label("wrong-operand", "v h eta", "matmul")),
    Slip("exp not derived at eta", row_by_row, ("g_eta = g_rate * lam", "g_eta = g_rate"),
         label=label("missing-local-derivative", "eta rate", "exp")),
    Slip("log of the rate not inverted", row_by_row, ("g_rate = 1 - k / lam", "g_rate = 1 - k"),
         label=label("wrong-local-rule double-derivative missing-local-derivative wrong-argument",
                     "rate eta nll counts",
                     "exp multiply subtract")),
    Slip("counts' term added", row_by_row, ("g_rate = 1 - k / lam", "g_rate = 1 + k / lam"),
         label=label("sign", "eta nll rate counts", "multiply subtract mean")),
    Slip("v missing between eta and h", row_by_row,
         ("g_u = g_eta * v * (1 - h) * (1 + h)", "g_u = g_eta * (1 - h) * (1 + h)"),
         label=label("missing-local-derivative wrong-operand", "h eta v u", "matmul tanh")),
    Slip("a0 overwritten each row", row_by_row, ("ga0 += g_u", "ga0 = g_u"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "a0 u", "add")),
    Slip("counts' part overwrites the rate's", einsums,
         ("grad_eta = grad_eta - counts / n", "grad_eta = -counts / n"),
         label=label("overwritten-accumulation dropped-path", "eta rate nll", "exp")),
    Slip("counts' part forgotten", einsums, ("grad_eta = grad_eta - counts / n", ""),
         label=label("dropped-path missing-term", "eta nll counts", "multiply subtract")),
    Slip("counts not averaged", einsums, ("grad_eta = grad_eta - counts / n", "grad_eta = grad_eta - counts"),
         label=label("scale", "eta nll counts", "mean multiply subtract")),
    Slip("cosh of h in tanh'", einsums,
         ("grad_u = grad_h * np.cosh(u) ** -2", "grad_u = grad_h * np.cosh(h) ** -2"),
         label=label("wrong-argument wrong-operand", "u h", "tanh")),
    Slip("v from u before the tanh, and a0 from the gradient of h", einsums,
         ('grad_v = np.einsum("n,nh->h", grad_eta, h)', 'grad_v = np.einsum("n,nh->h", grad_eta, u)'),
         ('grad_a0 = np.einsum("nh->h", grad_u)', 'grad_a0 = np.einsum("nh->h", grad_h)'),
         label=label("two", "v eta h u a0", "matmul tanh add")),
)
