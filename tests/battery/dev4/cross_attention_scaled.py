"""Attention of one sequence to another, scaled, averaged over the queries and read out by a vector."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wq", "Wk", "Wv", "w")


def data(rng, dtype):
    return {"X": rng.normal(size=(8, 4, 5)).astype(dtype), "Y": rng.normal(size=(8, 6, 3)).astype(dtype),
            "target": rng.normal(size=8).astype(dtype),
            "Wq": (0.6 * rng.normal(size=(5, 3))).astype(dtype), "Wk": (0.8 * rng.normal(size=(3, 3))).astype(dtype),
            "Wv": rng.normal(size=(3, 3)).astype(dtype), "w": rng.normal(size=3).astype(dtype)}


def loss(X, Y, target, Wq, Wk, Wv, w):
    Q = X @ Wq
    K = Y @ Wk
    V = Y @ Wv
    S = np.einsum("bqd,bkd->bqk", Q, K) / np.sqrt(3)
    A = ad.softmax(S, axis=-1)
    C = A @ V
    pooled = C.mean(axis=1)
    guess = pooled @ w
    loss = np.mean((guess - target) ** 2)
    return loss


def softmax(S):
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def einsums(X, Y, target, Wq, Wk, Wv, w):
    B, n_q, _ = X.shape
    d_k = Wk.shape[1]
    Q = np.einsum("bqi,id->bqd", X, Wq)
    K = np.einsum("bki,id->bkd", Y, Wk)
    V = np.einsum("bki,ie->bke", Y, Wv)
    A = softmax(np.einsum("bqd,bkd->bqk", Q, K) / np.sqrt(d_k))
    C = np.einsum("bqk,bke->bqe", A, V)
    pooled = C.mean(1)
    d_guess = 2 * (pooled @ w - target) / B
    d_w = np.einsum("b,be->e", d_guess, pooled)
    d_pooled = np.einsum("b,e->be", d_guess, w)
    d_C = np.repeat(d_pooled[:, None, :], n_q, axis=1) / n_q
    d_A = np.einsum("bqe,bke->bqk", d_C, V)
    d_V = np.einsum("bqk,bqe->bke", A, d_C)
    d_S = A * (d_A - np.einsum("bqk,bqk->bq", A, d_A)[:, :, None])
    d_S = d_S / np.sqrt(d_k)
    d_Q = np.einsum("bqk,bkd->bqd", d_S, K)
    d_K = np.einsum("bqk,bqd->bkd", d_S, Q)
    d_Wq = np.einsum("bqi,bqd->id", X, d_Q)
    d_Wk = np.einsum("bki,bkd->id", Y, d_K)
    d_Wv = np.einsum("bki,bke->ie", Y, d_V)
    return {"Wq": d_Wq, "Wk": d_Wk, "Wv": d_Wv, "w": d_w, "Q": d_Q, "K": d_K, "V": d_V, "A": d_A, "C": d_C}


def example_by_example(X, Y, target, Wq, Wk, Wv, w):
    gWq, gWk, gWv, gw = np.zeros_like(Wq), np.zeros_like(Wk), np.zeros_like(Wv), np.zeros_like(w)
    scale = 1 / Wq.shape[1] ** 0.5
    total = 0
    for x, y, t in zip(X, Y, target):
        q, k, v = x @ Wq, y @ Wk, y @ Wv
        a = softmax(scale * q @ k.T)
        c = (a @ v).mean(axis=0)
        residual = c @ w - t
        total += residual ** 2
        gw += 2 * residual * c
        gc = 2 * residual * w
        gv = np.outer(a.mean(axis=0), gc)
        gWv += y.T @ gv
        ga = v @ gc / len(x)
        gs = np.zeros_like(a)
        for i in range(len(x)):
            J = np.diag(a[i]) - np.outer(a[i], a[i])
            gs[i] = J @ ga
        gq = scale * gs @ k
        gk = scale * gs.T @ q
        gWq += x.T @ gq
        gWk += y.T @ gk
    n = len(X)
    return {"dWq": gWq / n, "dWk": gWk / n, "dWv": gWv / n, "dw": gw / n, "loss": total / n}


def shortened(X, Y, target, Wq, Wk, Wv, w):
    # with u = Y Wv w the guess is the mean over queries of a_q . u, and the slope of that is a_qk (u_k - a_q . u)
    root = np.sqrt(w.size)
    A = softmax(X @ Wq @ (Y @ Wk).transpose(0, 2, 1) / root)
    V = Y @ Wv
    u = V @ w
    mixed = (A @ u[:, :, None])[:, :, 0]
    weight = A.mean(axis=1)
    residual = 2 / len(X) * (mixed.mean(axis=1) - target)
    G = A * (u[:, None, :] - mixed[:, :, None]) * residual[:, None, None] / (root * X.shape[1])
    M = (X.transpose(0, 2, 1) @ G @ Y).sum(axis=0)
    s = np.einsum("b,bk,bki->i", residual, weight, Y)
    dWq = M @ Wk
    dWk = M.T @ Wq
    dWv = np.outer(s, w)
    dw = s @ Wv
    return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "w": dw}


RIGHT = (einsums, example_by_example, shortened)

SLIPS = (
    Slip("scale of the scores forgotten on the way back", einsums,
         ("d_S = d_S / np.sqrt(d_k)", ""),
         label=label("scale missing-local-derivative", "S Q K", "einsum divide")),
    Slip("scores' scale by d_k without the root", einsums,
         ("d_S = d_S / np.sqrt(d_k)", "d_S = d_S / d_k"),
         label=label("scale", "S Q K", "einsum divide")),
    Slip("softmax's mean term summed over the queries", einsums,
         ("d_S = A * (d_A - np.einsum(\"bqk,bqk->bq\", A, d_A)[:, :, None])",
          "d_S = A * (d_A - np.einsum(\"bqk,bqk->bk\", A, d_A)[:, None, :])"),
         label=label("wrong-axis softmax-diagonal wrong-local-rule", "S A", "softmax")),
    Slip("softmax treated as if each weight stood alone: A (1 - A)", einsums,
         ("d_S = A * (d_A - np.einsum(\"bqk,bqk->bq\", A, d_A)[:, :, None])", "d_S = d_A * A * (1 - A)"),
         label=label("softmax-diagonal wrong-local-rule", "S A", "softmax")),
    Slip("weights forgotten in the softmax's mean term", einsums,
         ("d_S = A * (d_A - np.einsum(\"bqk,bqk->bq\", A, d_A)[:, :, None])",
          "d_S = A * (d_A - d_A.sum(axis=-1, keepdims=True))"),
         label=label("softmax-diagonal wrong-local-rule", "S A", "softmax")),
    Slip("pooling's mean spread without dividing by the queries", einsums,
         ("d_C = np.repeat(d_pooled[:, None, :], n_q, axis=1) / n_q",
          "d_C = np.repeat(d_pooled[:, None, :], n_q, axis=1)"),
         label=label("scale", "C pooled", "mean matmul")),
    Slip("keys' gradient goes into the matrix of the values", einsums,
         ("d_Wk = np.einsum(\"bki,bkd->id\", Y, d_K)", "d_Wk = np.einsum(\"bki,bkd->id\", Y, d_V)"),
         ("d_Wv = np.einsum(\"bki,bke->ie\", Y, d_V)", "d_Wv = np.einsum(\"bki,bke->ie\", Y, d_K)"),
         label=label("swapped", "Wk Wv K V", "matmul")),
    Slip("weights' gradient by the keys instead of the values", einsums,
         ("d_A = np.einsum(\"bqe,bke->bqk\", d_C, V)", "d_A = np.einsum(\"bqe,bke->bqk\", d_C, K)"),
         label=label("wrong-operand", "A C V", "matmul")),
    Slip("queries' gradient by the values", einsums,
         ("d_Q = np.einsum(\"bqk,bkd->bqd\", d_S, K)", "d_Q = np.einsum(\"bqk,bkd->bqd\", d_S, V)"),
         label=label("wrong-operand", "Q S K", "einsum")),
    Slip("values' gradient by the scores' gradient, the variable having been reused", einsums,
         ("d_V = np.einsum(\"bqk,bqe->bke\", A, d_C)", "d_V = np.einsum(\"bqk,bqe->bke\", d_A, d_C)"),
         label=label("wrong-operand stale-value", "V C A", "matmul")),
    Slip("two of the square and mean over examples both forgotten at the guess", einsums,
         ("d_guess = 2 * (pooled @ w - target) / B", "d_guess = pooled @ w - target"),
         label=label("scale two", "guess loss", "square mean subtract")),
    Slip("subscripts exchanged for Wv", einsums,
         ("d_Wv = np.einsum(\"bki,bke->ie\", Y, d_V)", "d_Wv = np.einsum(\"bki,bke->ei\", Y, d_V)"),
         label=label("transposed-result", "Wv V", "matmul")),
    Slip("sign of the off-diagonal of the softmax's Jacobian", example_by_example,
         ("J = np.diag(a[i]) - np.outer(a[i], a[i])", "J = np.diag(a[i]) + np.outer(a[i], a[i])"),
         label=label("softmax-diagonal sign", "S A", "softmax")),
    Slip("Jacobian always of the first query", example_by_example,
         ("J = np.diag(a[i]) - np.outer(a[i], a[i])", "J = np.diag(a[0]) - np.outer(a[0], a[0])"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "S A", "softmax")),
    Slip("last query's scores get nothing", example_by_example,
         ("for i in range(len(x)):", "for i in range(len(x) - 1):"),
         label=label("dropped-path", "S A Q K C", "softmax einsum")),
    Slip("Jacobian left out: weights' gradient handed to the scores", example_by_example,
         ("gs[i] = J @ ga", "gs[i] = ga"),
         label=label("missing-local-derivative", "S A", "softmax")),
    Slip("scale only on the queries' side, not at the keys", example_by_example,
         ("gk = scale * gs.T @ q", "gk = gs.T @ q"),
         label=label("scale missing-local-derivative", "K S Wk", "einsum divide")),
    Slip("gw set anew for each example", example_by_example,
         ("gw += 2 * residual * c", "gw = 2 * residual * c"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "w guess", "matmul")),
    Slip("values by the weights of the last query only", example_by_example,
         ("gv = np.outer(a.mean(axis=0), gc)", "gv = np.outer(a[-1], gc)"),
         label=label("dropped-path missing-broadcast-reduction wrong-operand", "V C pooled A Wv", "matmul mean")),
    Slip("pooled by the number of keys in the weights' gradient", example_by_example,
         ("ga = v @ gc / len(x)", "ga = v @ gc / len(y)"),
         label=label("scale", "A C S", "mean matmul softmax einsum divide")),
    Slip("Wk not transposed back for Wq", shortened,
         ("dWq = M @ Wk", "dWq = M @ Wk.T"),
         label=label("missing-transpose wrong-operand", "Wq Q S K Wk", "einsum matmul")),
    Slip("weights forgotten before the softmax's bracket", shortened,
         ("G = A * (u[:, None, :] - mixed[:, :, None]) * residual[:, None, None] / (root * X.shape[1])",
          "G = (u[:, None, :] - mixed[:, :, None]) * residual[:, None, None] / (root * X.shape[1])"),
         label=label("softmax-diagonal wrong-local-rule missing-local-derivative", "S A", "softmax")),
    Slip("read-out through Wk instead of Wv for w", shortened,
         ("dw = s @ Wv", "dw = s @ Wk"),
         label=label("wrong-operand", "w guess pooled V", "matmul")),
    Slip("target minus guess", shortened,
         ("residual = 2 / len(X) * (mixed.mean(axis=1) - target)",
          "residual = 2 / len(X) * (target - mixed.mean(axis=1))"),
         label=label("sign", "guess loss", "square subtract mean")),
    Slip("uniform weights for the values and no two", shortened,
         ("weight = A.mean(axis=1)", "weight = np.full_like(u, 1 / u.shape[1])"),
         ("residual = 2 / len(X) * (mixed.mean(axis=1) - target)",
          "residual = (mixed.mean(axis=1) - target) / len(X)"),
         label=label("two", "V A C Wv w pooled guess loss", "matmul mean square subtract softmax")),
)
