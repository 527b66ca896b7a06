"""Cross-attention: queries from one sequence, keys and values from a memory, whose gradient is wanted as well."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wq", "Wk", "Wv", "Wo", "bo", "C")


def data(rng, dtype):
    return {"X": rng.normal(size=(6, 4)).astype(dtype), "C": rng.normal(size=(8, 3)).astype(dtype),
            "Y": rng.normal(size=(6, 5)).astype(dtype),
            "Wq": (0.7 * rng.normal(size=(4, 5))).astype(dtype), "Wk": (0.7 * rng.normal(size=(3, 5))).astype(dtype),
            "Wv": (0.7 * rng.normal(size=(3, 5))).astype(dtype), "Wo": (0.6 * rng.normal(size=(5, 5))).astype(dtype),
            "bo": (0.3 * rng.normal(size=5)).astype(dtype)}


def loss(X, C, Y, Wq, Wk, Wv, Wo, bo):
    Q = X @ Wq
    K = C @ Wk
    V = C @ Wv
    S = Q @ K.T / Wk.shape[1] ** 0.5
    A = ad.softmax(S, axis=1)
    H = A @ V
    O = H @ Wo + bo
    R = O - Y
    loss = 0.5 * (R ** 2).sum() / len(X)
    return loss


def step_by_step(X, C, Y, Wq, Wk, Wv, Wo, bo):
    n = X.shape[0]
    root = np.sqrt(Wk.shape[1])
    Q = X @ Wq
    K = C @ Wk
    V = C @ Wv
    S = Q @ K.T / root
    E = np.exp(S - S.max(axis=1, keepdims=True))
    A = E / E.sum(axis=1, keepdims=True)
    H = A @ V
    O = H @ Wo + bo
    dO = (O - Y) / n
    dWo = H.T @ dO
    dbo = dO.sum(axis=0)
    dH = dO @ Wo.T
    dV = A.T @ dH
    dA = dH @ V.T
    inner = (dA * A).sum(axis=1, keepdims=True)
    dS = A * (dA - inner)
    dQK = dS / root
    dQ = dQK @ K
    dK = dQK.T @ Q
    dWq = X.T @ dQ
    dWk = C.T @ dK
    dWv = C.T @ dV
    dC = dK @ Wk.T + dV @ Wv.T
    return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo, "bo": dbo, "C": dC}


def query_by_query(X, C, Y, Wq, Wk, Wv, Wo, bo):
    n, root = len(X), Wq.shape[1] ** 0.5
    keys, values = C @ Wk, C @ Wv
    g_keys, g_values = np.zeros_like(keys), np.zeros_like(values)
    g_Wq, g_Wo, g_bo = np.zeros_like(Wq), np.zeros_like(Wo), np.zeros_like(bo)
    for i in range(n):
        q = X[i] @ Wq
        s = keys @ q / root
        e = np.exp(s - s.max())
        a = e / e.sum()
        h = a @ values
        o = h @ Wo + bo
        g_o = (o - Y[i]) / n
        g_Wo += np.outer(h, g_o)
        g_bo += g_o
        g_h = Wo @ g_o
        g_values += np.outer(a, g_h)
        g_a = values @ g_h
        J = np.diag(a) - np.outer(a, a)
        g_s = J @ g_a
        g_keys += np.outer(g_s, q) / root
        g_q = g_s @ keys / root
        g_Wq += np.outer(X[i], g_q)
    g_C = g_keys @ Wk.T
    g_C = g_C + g_values @ Wv.T
    return {"Wq": g_Wq, "Wk": C.T @ g_keys, "Wv": C.T @ g_values, "Wo": g_Wo, "bo": g_bo, "C": g_C}


def in_einsums(X, C, Y, Wq, Wk, Wv, Wo, bo):
    scale = 1 / np.sqrt(Wq.shape[1])
    Q, K, V = X @ Wq, C @ Wk, C @ Wv
    P = np.exp(scale * np.einsum("qd,kd->qk", Q, K))
    P /= P.sum(axis=1, keepdims=True)
    head = P @ V
    out = head @ Wo + bo
    d_out = (out - Y) / len(Y)
    d_head = np.einsum("qo,do->qd", d_out, Wo)
    D = np.einsum("qd,qd->q", head, d_head)
    d_scores = P * (np.einsum("qd,kd->qk", d_head, V) - D[:, None])
    d_q = scale * np.einsum("qk,kd->qd", d_scores, K)
    d_k = scale * np.einsum("qk,qd->kd", d_scores, Q)
    d_v = np.einsum("qk,qd->kd", P, d_head)
    return {"Wq": np.einsum("qx,qd->xd", X, d_q),
            "Wk": np.einsum("kc,kd->cd", C, d_k),
            "Wv": np.einsum("kc,kd->cd", C, d_v),
            "Wo": np.einsum("qd,qo->do", head, d_out),
            "bo": np.einsum("qo->o", d_out),
            "C": np.einsum("kd,cd->kc", d_k, Wk) + np.einsum("kd,cd->kc", d_v, Wv)}


RIGHT = (step_by_step, query_by_query, in_einsums)

SLIPS = (
    Slip("centred the softmax gradient over the queries", step_by_step,
         ("inner = (dA * A).sum(axis=1, keepdims=True)", "inner = (dA * A).sum(axis=0, keepdims=True)")),
    Slip("centred by the plain mean of dA, not the mean under A", step_by_step,
         ("inner = (dA * A).sum(axis=1, keepdims=True)", "inner = dA.mean(axis=1, keepdims=True)")),
    Slip("put A inside the bracket, so that the second term lacks it", step_by_step,
         ("dS = A * (dA - inner)", "dS = A * dA - inner")),
    Slip("scaled dQ by the root, but not dK", step_by_step, ("dK = dQK.T @ Q", "dK = dS.T @ Q")),
    Slip("root of the number of keys", step_by_step, ("dQK = dS / root", "dQK = dS / np.sqrt(len(K))")),
    Slip("memory only through the keys", step_by_step, ("dC = dK @ Wk.T + dV @ Wv.T", "dC = dK @ Wk.T")),
    Slip("dV with the raw scores", step_by_step, ("dV = A.T @ dH", "dV = S.T @ dH")),
    Slip("dA with the keys", step_by_step, ("dA = dH @ V.T", "dA = dH @ K.T")),
    Slip("Wo not transposed on the way back", step_by_step, ("dH = dO @ Wo.T", "dH = dO @ Wo")),
    Slip("dWo with the projected output", step_by_step, ("dWo = H.T @ dO", "dWo = O.T @ dO")),
    Slip("Wo updated in place before dH", step_by_step, ("dWo = H.T @ dO", "dWo = H.T @ dO\nWo -= 0.3 * dWo")),
    Slip("values' part of the memory goes back through Wk", step_by_step,
         ("dC = dK @ Wk.T + dV @ Wv.T", "dC = dK @ Wk.T + dV @ Wk.T")),
    Slip("keys of the last query only", query_by_query,
         ("g_keys += np.outer(g_s, q) / root", "g_keys = np.outer(g_s, q) / root")),
    Slip("plus in the softmax Jacobian", query_by_query,
         ("J = np.diag(a) - np.outer(a, a)", "J = np.diag(a) + np.outer(a, a)")),
    Slip("only the diagonal a(1 - a)", query_by_query,
         ("J = np.diag(a) - np.outer(a, a)", "J = np.diag(a * (1 - a))")),
    Slip("scores recomputed without the root", query_by_query, ("s = keys @ q / root", "s = keys @ q")),
    Slip("loop over the queries starts at one", query_by_query, ("for i in range(n):", "for i in range(1, n):")),
    Slip("the memory's second term replaces the first", query_by_query,
         ("g_C = g_C + g_values @ Wv.T", "g_C = g_values @ Wv.T")),
    Slip("softmax derived as if it were exp", query_by_query,
         ("g_s = J @ g_a", "g_s = e * g_a")),
    Slip("Wk and Wv exchanged on return", query_by_query,
         ('return {"Wq": g_Wq, "Wk": C.T @ g_keys, "Wv": C.T @ g_values, "Wo": g_Wo, "bo": g_bo, "C": g_C}',
          'return {"Wq": g_Wq, "Wk": C.T @ g_values, "Wv": C.T @ g_keys, "Wo": g_Wo, "bo": g_bo, "C": g_C}')),
    Slip("row sums of output times its gradient after the projection", in_einsums,
         ('D = np.einsum("qd,qd->q", head, d_head)', 'D = np.einsum("qd,qd->q", out, d_out)')),
    Slip("scale squared in the keys' gradient", in_einsums,
         ('d_k = scale * np.einsum("qk,qd->kd", d_scores, Q)',
          'd_k = scale ** 2 * np.einsum("qk,qd->kd", d_scores, Q)')),
    Slip("P normalised over the queries", in_einsums,
         ("P /= P.sum(axis=1, keepdims=True)", "P /= P.sum(axis=0, keepdims=True)")),
    Slip("queries decayed though the loss does not decay them", in_einsums,
         ('return {"Wq": np.einsum("qx,qd->xd", X, d_q),',
          'return {"Wq": np.einsum("qx,qd->xd", X, d_q) + 0.05 * Wq,')),
    Slip("gradient of Wo comes out of the einsum as do from od", in_einsums,
         ('"Wo": np.einsum("qd,qo->do", head, d_out),', '"Wo": np.einsum("qd,qo->od", head, d_out),')),
    Slip("softmax denominator a constant, and bo averaged", in_einsums,
         ('d_scores = P * (np.einsum("qd,kd->qk", d_head, V) - D[:, None])',
          'd_scores = P * np.einsum("qd,kd->qk", d_head, V)'),
         ('"bo": np.einsum("qo->o", d_out),', '"bo": d_out.mean(axis=0),')),
)
