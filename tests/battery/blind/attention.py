"""Single-head self attention with an output projection and a mean squared error."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wq", "Wk", "Wv", "Wo", "bo")


def data(rng, dtype):
    n = lambda *shape: rng.normal(size=shape).astype(dtype)
    return {"X": n(6, 5), "Wq": dtype(0.6) * n(5, 4), "Wk": dtype(0.6) * n(5, 4), "Wv": n(5, 3), "Wo": n(3, 3),
            "bo": n(3), "Y": n(6, 3)}


def loss(X, Wq, Wk, Wv, Wo, bo, Y):
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    S = Q @ K.T / np.sqrt(Q.shape[1])
    A = ad.softmax(S, axis=1)
    H = A @ V
    O = H @ Wo + bo
    L = np.mean((O - Y) ** 2)
    return L


def rows_softmax(S):
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def step_by_step(X, Wq, Wk, Wv, Wo, bo, Y):
    # forward
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    scale = 1 / np.sqrt(K.shape[1]).astype(X.dtype)
    S = Q @ K.T * scale
    A = rows_softmax(S)
    H = A @ V
    O = H @ Wo + bo
    # backward
    dO = 2 * (O - Y) / O.size
    dWo = H.T @ dO
    dbo = dO.sum(axis=0)
    dH = dO @ Wo.T
    dA = dH @ V.T
    dV = A.T @ dH
    dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))
    dQ = dS @ K * scale
    dK = dS.T @ Q * scale
    dWq = X.T @ dQ
    dWk = X.T @ dK
    dWv = X.T @ dV
    return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo, "bo": dbo,
            "Q": dQ, "K": dK, "V": dV, "S": dS, "A": dA, "H": dH, "O": dO}


def jacobian_of_each_row(X, Wq, Wk, Wv, Wo, bo, Y):
    T, d = X.shape[0], Wq.shape[1]
    q, k, v = X @ Wq, X @ Wk, X @ Wv
    att = rows_softmax(q @ k.T / np.sqrt(d).astype(X.dtype))
    ctx = att @ v
    out = ctx @ Wo + bo

    g_out = (out - Y) * (2 / Y.size)
    g_Wo = np.zeros_like(Wo)
    g_bo = np.zeros_like(bo)
    g_q, g_k, g_v = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for i in range(T):
        g_Wo += np.outer(ctx[i], g_out[i])
        g_bo += g_out[i]
        g_ctx = Wo @ g_out[i]
        g_att = v @ g_ctx
        g_v += np.outer(att[i], g_ctx)
        J = np.diag(att[i]) - np.outer(att[i], att[i])
        g_score = J @ g_att / np.sqrt(d).astype(X.dtype)
        g_q[i] = k.T @ g_score
        g_k += np.outer(g_score, q[i])
    return {"dWq": X.T @ g_q, "dWk": X.T @ g_k, "dWv": X.T @ g_v, "dWo": g_Wo, "dbo": g_bo}


def with_einsum(X, Wq, Wk, Wv, Wo, bo, Y):
    q = np.einsum("td,dk->tk", X, Wq)
    k = np.einsum("td,dk->tk", X, Wk)
    v = np.einsum("td,dv->tv", X, Wv)
    root = np.sqrt(q.shape[-1]).astype(X.dtype)
    p = rows_softmax(np.einsum("tk,sk->ts", q, k) / root)
    h = np.einsum("ts,sv->tv", p, v)
    r = np.einsum("tv,vo->to", h, Wo) + bo - Y
    gr = 2 * r / r.size
    gh = np.einsum("to,vo->tv", gr, Wo)
    gv = np.einsum("ts,tv->sv", p, gh)
    gp = np.einsum("tv,sv->ts", gh, v)
    dot = np.einsum("ts,ts->t", gp, p)
    gs = p * (gp - dot[:, None]) / root
    gq = np.einsum("ts,sk->tk", gs, k)
    gk = np.einsum("ts,tk->sk", gs, q)
    gWq = np.einsum("td,tk->dk", X, gq)
    gWk = np.einsum("td,tk->dk", X, gk)
    gWv = np.einsum("td,tv->dv", X, gv)
    gWo = np.einsum("tv,to->vo", h, gr)
    return {"Wq": gWq, "Wk": gWk, "Wv": gWv, "Wo": gWo, "bo": np.einsum("to->o", gr)}


def flash_style(X, Wq, Wk, Wv, Wo, bo, Y):
    n, c = X.shape[0], X.dtype.type(Wq.shape[1] ** -0.5)
    Q, K, V = X @ Wq * c, X @ Wk, X @ Wv
    P = np.exp(Q @ K.T)
    P /= P.sum(1, keepdims=True)
    H = P @ V
    E = 2 / (n * Y.shape[1]) * (H @ Wo + bo - Y)
    G = E @ Wo.T
    D = (G * H).sum(1, keepdims=True)
    dS = P * (G @ V.T - D)
    Wq_grad = X.T @ (dS @ K) * c
    Wk_grad = X.T @ (dS.T @ Q)
    Wv_grad = X.T @ (P.T @ G)
    Wo_grad = H.T @ E
    return {"Wq": Wq_grad, "Wk": Wk_grad, "Wv": Wv_grad, "Wo": Wo_grad, "bo": E.sum(0)}


RIGHT = (step_by_step, jacobian_of_each_row, with_einsum, flash_style)

SLIPS = (
    Slip("forgot the 1/sqrt(d) on the way back, at Q and K", step_by_step,
         ("dQ = dS @ K * scale", "dQ = dS @ K"), ("dK = dS.T @ Q * scale", "dK = dS.T @ Q")),
    Slip("scaled Q's gradient but forgot the scale at K's", step_by_step,
         ("dK = dS.T @ Q * scale", "dK = dS.T @ Q")),
    Slip("softmax treated as a sigmoid: A (1 - A) elementwise", step_by_step,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))", "dS = dA * A * (1 - A)")),
    Slip("subtracted the sum over the wrong axis in the softmax gradient", step_by_step,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))",
          "dS = A * (dA - (dA * A).sum(axis=0, keepdims=True))")),
    Slip("summed dA without weighting by A in the softmax gradient", step_by_step,
         ("dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))",
          "dS = A * (dA - dA.sum(axis=1, keepdims=True))")),
    Slip("multiplied by A instead of A transposed at V", step_by_step, ("dV = A.T @ dH", "dV = A @ dH")),
    Slip("swapped the roles of Q and K", step_by_step,
         ("dQ = dS @ K * scale", "dQ = dS @ Q * scale"), ("dK = dS.T @ Q * scale", "dK = dS.T @ K * scale")),
    Slip("copied the line of Wq for Wk and left dQ in it", step_by_step, ("dWk = X.T @ dK", "dWk = X.T @ dQ")),
    Slip("divided by the number of rows only, the mean is over all entries", step_by_step,
         ("dO = 2 * (O - Y) / O.size", "dO = 2 * (O - Y) / len(O)")),
    Slip("forgot the transpose of Wo at H", step_by_step, ("dH = dO @ Wo.T", "dH = dO @ Wo")),
    Slip("softmax over the columns in the forward pass", step_by_step,
         ("A = rows_softmax(S)", "A = rows_softmax(S.T).T")),
    Slip("weight decay added to Wo that the loss does not have", step_by_step,
         ("dWo = H.T @ dO", "dWo = H.T @ dO + 0.01 * Wo")),
    Slip("assigned instead of accumulated at k", jacobian_of_each_row,
         ("g_k += np.outer(g_score, q[i])", "g_k = np.outer(g_score, q[i])")),
    Slip("only the diagonal of the softmax Jacobian", jacobian_of_each_row,
         ("J = np.diag(att[i]) - np.outer(att[i], att[i])", "J = np.diag(att[i])")),
    Slip("plus instead of minus in the softmax Jacobian", jacobian_of_each_row,
         ("J = np.diag(att[i]) - np.outer(att[i], att[i])", "J = np.diag(att[i]) + np.outer(att[i], att[i])")),
    Slip("divided by d instead of its root in the backward pass", jacobian_of_each_row,
         ("g_score = J @ g_att / np.sqrt(d).astype(X.dtype)", "g_score = J @ g_att / d")),
    Slip("only the token's own row of v got a gradient", jacobian_of_each_row,
         ("g_v += np.outer(att[i], g_ctx)", "g_v[i] += att[i, i] * g_ctx")),
    Slip("einsum indices of the attention mixed up at k", with_einsum,
         ('gk = np.einsum("ts,tk->sk", gs, q)', 'gk = np.einsum("st,tk->sk", gs, q)')),
    Slip("broadcast the dot products along the rows", with_einsum,
         ("gs = p * (gp - dot[:, None]) / root", "gs = p * (gp - dot[None, :]) / root")),
    Slip("forgot the two of the square, and forgot to multiply by the attention at v", with_einsum,
         ("gr = 2 * r / r.size", "gr = r / r.size"),
         ('gv = np.einsum("ts,tv->sv", p, gh)', "gv = gh")),
    Slip("D from the product with V instead of with H", flash_style,
         ("D = (G * H).sum(1, keepdims=True)", "D = (G * V).sum(1, keepdims=True)")),
    Slip("scaled K's gradient again although Q is already scaled", flash_style,
         ("Wk_grad = X.T @ (dS.T @ Q)", "Wk_grad = X.T @ (dS.T @ Q) * c")),
    Slip("dS computed in place in P, which V's gradient still needed", flash_style,
         ("dS = P * (G @ V.T - D)", "dS = P\ndS *= G @ V.T - D")),
    Slip("forgot Wo between the error and H in the gradient of Wv", flash_style,
         ("Wv_grad = X.T @ (P.T @ G)", "Wv_grad = X.T @ (P.T @ E)")),
)
