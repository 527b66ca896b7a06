"""One head of causal self-attention on one sequence of rows, with squared error on every row."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wq", "Wk", "Wv", "Wo")


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(6, 4)), "Wq": rng.normal(size=(4, 5)), "Wk": rng.normal(size=(4, 5)),
              "Wv": rng.normal(size=(4, 5)), "Wo": rng.normal(size=(5, 3)), "Y": rng.normal(size=(6, 3))}
    leaves["X"] *= 0.7
    return {name: value.astype(dtype) for name, value in leaves.items()}


def loss(X, Y, Wq, Wk, Wv, Wo):
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    S = Q @ K.T / 5 ** 0.5
    M = np.where(np.tril(np.ones((6, 6))) > 0, S, -1e9)
    P = ad.softmax(M, axis=1)
    C = P @ V
    O = C @ Wo
    D = O - Y
    loss = 0.5 * np.mean(np.sum(D * D, axis=1))
    return loss


def causal(S):
    S = np.where(np.tri(len(S), dtype=bool), S, -np.inf)
    e = np.exp(S - S.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def whole_matrices(X, Y, Wq, Wk, Wv, Wo):
    n, dim = len(X), Wq.shape[1]
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    scale = X.dtype.type(1 / np.sqrt(dim))
    P = causal(Q @ K.T * scale)
    C = P @ V
    dO = (C @ Wo - Y) / n
    dWo = C.T @ dO
    dC = dO @ Wo.T
    dP = dC @ V.T
    dV = P.T @ dC
    dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
    dS = dS * scale
    dQ = dS @ K
    dK = dS.T @ Q
    dWq = X.T @ dQ
    dWk = X.T @ dK
    dWv = X.T @ dV
    return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo, "C": dC, "P": dP, "V": dV}


def query_by_query(X, Y, Wq, Wk, Wv, Wo):
    T = X.shape[0]
    q, k, v = X @ Wq, X @ Wk, X @ Wv
    root = X.dtype.type(np.sqrt(k.shape[1]))
    g_q, g_k, g_v, g_Wo = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v), np.zeros_like(Wo)
    for i in range(T):
        past = slice(0, i + 1)
        s = k[past] @ q[i] / root
        p = np.exp(s - s.max())
        p /= p.sum()
        c = p @ v[past]
        g_o = (c @ Wo - Y[i]) / T
        g_Wo += np.outer(c, g_o)
        g_c = Wo @ g_o
        g_v[past] += np.outer(p, g_c)
        g_p = v[past] @ g_c
        jac = np.diag(p) - np.outer(p, p)
        g_s = jac @ g_p
        g_q[i] = g_s @ k[past] / root
        g_k[past] += np.outer(g_s, q[i]) / root
    return {"dWq": X.T @ g_q, "dWk": X.T @ g_k, "dWv": X.T @ g_v, "dWo": g_Wo}


def softmax_backward(p, g):
    return p * g - p * np.einsum("ij,ij->i", p, g)[:, None]


def without_values(X, Y, Wq, Wk, Wv, Wo):
    B = X @ Wk
    A = causal((X @ Wq) @ B.T / X.dtype.type(Wk.shape[1]) ** 0.5)
    mixed = A @ X
    err = mixed @ Wv @ Wo - Y
    err = err / Y.shape[0]
    back = err @ Wo.T
    gWv = mixed.T @ back
    gWo = Wv.T @ mixed.T @ err
    gA = np.einsum("io,jo->ij", back, X @ Wv)
    gE = softmax_backward(A, gA) / X.dtype.type(Wk.shape[1]) ** 0.5
    gWq = X.T @ gE @ X @ Wk
    gWk = X.T @ gE.T @ X @ Wq
    return {"Wq": gWq, "Wk": gWk, "Wv": gWv, "Wo": gWo}


RIGHT = (whole_matrices, query_by_query, without_values)

SLIPS = (
    Slip("softmax backwards by its diagonal only, as a sigmoid", whole_matrices,
         ("dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))", "dS = dP * P * (1 - P)"),
         label=label("softmax-diagonal wrong-local-rule", "P M S", "softmax")),
    Slip("softmax's row sum taken down the columns", whole_matrices,
         ("dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))",
          "dS = P * (dP - (dP * P).sum(axis=0, keepdims=True))"),
         label=label("wrong-axis softmax-diagonal", "P M S", "softmax")),
    Slip("scale of the scores forgotten backwards", whole_matrices, ("dS = dS * scale", ""),
         label=label("scale missing-local-derivative", "S M Q K", "divide softmax where matmul")),
    Slip("scores' gradient not transposed for the keys", whole_matrices, ("dK = dS.T @ Q", "dK = dS @ Q"),
         label=label("missing-transpose", "K S Q", "matmul transpose")),
    Slip("values with untransposed attention", whole_matrices, ("dV = P.T @ dC", "dV = P @ dC"),
         label=label("missing-transpose", "V C P", "matmul")),
    Slip("causal mask forgotten in the backward's own forward", whole_matrices,
         ("P = causal(Q @ K.T * scale)",
          "P = np.exp(Q @ K.T * scale)\nP = P / P.sum(axis=1, keepdims=True)"),
         label=label("wrong-argument wrong-operand missing-local-derivative wrong-local-rule dropped-path",
                     "M P S", "where softmax")),
    Slip("gradients of queries and keys mixed up in the return", whole_matrices,
         ('return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo, "C": dC, "P": dP, "V": dV}',
          'return {"Wq": dWk, "Wk": dWq, "Wv": dWv, "Wo": dWo, "C": dC, "P": dP, "V": dV}'),
         label=label("swapped", "Wq Wk Q K", "matmul")),
    Slip("output weight from the values before mixing", whole_matrices, ("dWo = C.T @ dO", "dWo = V.T @ dO"),
         label=label("wrong-operand stale-value", "Wo C V O", "matmul")),
    Slip("keys of the past overwritten by each later query", query_by_query,
         ("g_k[past] += np.outer(g_s, q[i]) / root", "g_k[past] = np.outer(g_s, q[i]) / root"),
         label=label("overwritten-accumulation dropped-path", "K S Wk", "matmul transpose")),
    Slip("own position left out of the values' gradient", query_by_query,
         ("g_v[past] += np.outer(p, g_c)", "g_v[:i] += np.outer(p[:i], g_c)"),
         label=label("dropped-path", "V C Wv P", "matmul")),
    Slip("gradient of the attention by the keys", query_by_query, ("g_p = v[past] @ g_c", "g_p = k[past] @ g_c"),
         label=label("wrong-operand", "P C V K", "matmul")),
    Slip("diagonal forgotten in the jacobian", query_by_query,
         ("jac = np.diag(p) - np.outer(p, p)", "jac = -np.outer(p, p)"),
         label=label("softmax-diagonal dropped-path wrong-local-rule", "P M S", "softmax")),
    Slip("root on the queries only", query_by_query,
         ("g_k[past] += np.outer(g_s, q[i]) / root", "g_k[past] += np.outer(g_s, q[i])"),
         label=label("scale missing-local-derivative", "K S Wk Q", "matmul divide transpose")),
    Slip("softmax passed straight through", query_by_query, ("g_s = jac @ g_p", "g_s = g_p"),
         label=label("missing-local-derivative softmax-diagonal", "P M S", "softmax")),
    Slip("factor two from the square although there is a half", without_values,
         ("err = err / Y.shape[0]", "err = 2 * err / Y.shape[0]"),
         label=label("scale", "D O loss", "multiply mean sum subtract")),
    Slip("mean over every number of the targets", without_values, ("err = err / Y.shape[0]", "err = err / Y.size"),
         label=label("scale", "D O loss", "mean sum multiply subtract")),
    Slip("query's weight meets itself", without_values, ("gWq = X.T @ gE @ X @ Wk", "gWq = X.T @ gE @ X @ Wq"),
         label=label("wrong-operand", "Wq Q K S Wk", "matmul")),
    Slip("values' weight from the unmixed inputs", without_values, ("gWv = mixed.T @ back", "gWv = X.T @ back"),
         label=label("wrong-operand missing-local-derivative", "Wv V C P X", "matmul")),
    Slip("divided by the dimension and not its root, and attention applied to the error transposed", without_values,
         ("gE = softmax_backward(A, gA) / X.dtype.type(Wk.shape[1]) ** 0.5",
          "gE = softmax_backward(A, gA) / X.dtype.type(Wk.shape[1])"),
         ("gWv = mixed.T @ back", "gWv = X.T @ A @ back"),
         label=label("two", "S M P Q K V Wv C", "divide softmax where matmul")),
)
