"""One head of causal attention on trained token vectors; softmax over the keys of each query's row."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("X", "Wq", "Wk", "Wv")


def data(rng, dtype):
    n, d = 5, 4
    return {"X": rng.normal(size=(n, d)).astype(dtype), "Y": rng.normal(size=(n, 3)).astype(dtype),
            "mask": np.tril(np.ones((n, n), dtype=bool)), "Wq": (0.7 * rng.normal(size=(d, d))).astype(dtype),
            "Wk": (0.7 * rng.normal(size=(d, d))).astype(dtype), "Wv": rng.normal(size=(d, 3)).astype(dtype)}


def loss(X, Y, mask, Wq, Wk, Wv):
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    S = Q @ K.T / np.sqrt(4)
    M = np.where(mask, S, -1e9)
    A = ad.softmax(M, axis=1)
    O = A @ V
    loss = ((O - Y) ** 2).sum()
    return loss


def softmax(M):
    E = np.exp(M - M.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def by_hand(X, Y, mask, Wq, Wk, Wv):
    d = Wq.shape[1]
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    A = softmax(np.where(mask, Q @ K.T / np.sqrt(d), -1e9))
    dO = 2 * (A @ V - Y)
    dV = A.T @ dO
    dA = dO @ V.T
    dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))
    dS = dS / np.sqrt(d)
    dQ = dS @ K
    dK = dS.T @ Q
    dX = dV @ Wv.T
    dX = dX + dQ @ Wq.T
    dX = dX + dK @ Wk.T
    return {"X": dX, "Wq": X.T @ dQ, "Wk": X.T @ dK, "Wv": X.T @ dV}


def query_by_query(X, Y, mask, Wq, Wk, Wv):
    n, d = X.shape
    gWq, gWk, gWv, gX = 0 * Wq, 0 * Wk, 0 * Wv, 0 * X
    for i in range(n):
        q = X[i] @ Wq
        k, v = X[:i + 1] @ Wk, X[:i + 1] @ Wv
        w = np.exp(k @ q / d ** 0.5)
        w = w / w.sum()
        do = 2 * (w @ v - Y[i])
        dw = v @ do
        ds = w * (dw - w @ dw) / d ** 0.5
        dq = ds @ k
        dk = np.outer(ds, q)
        dv = np.outer(w, do)
        gWq += np.outer(X[i], dq)
        gWk += X[:i + 1].T @ dk
        gWv += X[:i + 1].T @ dv
        gX[i] += Wq @ dq
        gX[:i + 1] += dk @ Wk.T + dv @ Wv.T
    return {"X": gX, "Wq": gWq, "Wk": gWk, "Wv": gWv}


RIGHT = (by_hand, query_by_query)

SLIPS = (
    Slip("forgot the root of d", by_hand, ("dS = dS / np.sqrt(d)", "")),
    Slip("d without its root", by_hand, ("dS = dS / np.sqrt(d)", "dS = dS / d")),
    Slip("softmax' is A dA", by_hand, ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = A * dA")),
    Slip("softmax' is A (1 - A)", by_hand,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = dA * A * (1 - A)")),
    Slip("softmax summed over the queries", by_hand,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = A * (dA - (dA * A).sum(axis=0))")),
    Slip("softmax left out", by_hand,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = dA * mask")),
    Slip("softmax passed twice", by_hand, ("dS = dS / np.sqrt(d)",
                                           "dS = A * (dS - (dS * A).sum(axis=1, keepdims=True)) / np.sqrt(d)")),
    Slip("scores not transposed for K", by_hand, ("dK = dS.T @ Q", "dK = dS @ Q")),
    Slip("A not transposed for V", by_hand, ("dV = A.T @ dO", "dV = A @ dO")),
    Slip("Q for K", by_hand, ("dQ = dS @ K", "dQ = dS @ Q")),
    Slip("K for Q", by_hand, ("dK = dS.T @ Q", "dK = dS.T @ K")),
    Slip("Wq and Wk swapped", by_hand, ('return {"X": dX, "Wq": X.T @ dQ, "Wk": X.T @ dK, "Wv": X.T @ dV}',
                                        'return {"X": dX, "Wq": X.T @ dK, "Wk": X.T @ dQ, "Wv": X.T @ dV}')),
    Slip("X gets nothing through the keys", by_hand, ("dX = dX + dK @ Wk.T", "")),
    Slip("X overwritten by the queries' path", by_hand, ("dX = dX + dQ @ Wq.T", "dX = dQ @ Wq.T")),
    Slip("X through the values only", by_hand, ("dX = dX + dQ @ Wq.T", ""), ("dX = dX + dK @ Wk.T", "")),
    Slip("Wq not transposed", by_hand, ("dX = dX + dQ @ Wq.T", "dX = dX + dQ @ Wq")),
    Slip("keys overwritten by each query", query_by_query,
         ("gX[:i + 1] += dk @ Wk.T + dv @ Wv.T", "gX[:i + 1] = dk @ Wk.T + dv @ Wv.T")),
    Slip("the own row's query forgotten", query_by_query, ("gX[i] += Wq @ dq", "")),
    Slip("sign inside softmax", query_by_query,
         ("ds = w * (dw - w @ dw) / d ** 0.5", "ds = w * (dw + w @ dw) / d ** 0.5")),
    Slip("A dA and no root of d", by_hand, ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = A * dA"),
         ("dS = dS / np.sqrt(d)", "")),
)
