"""One head of self-attention with an output projection and a residual connection; squared error at each position."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("X", "Wq", "Wk", "Wv", "Wo", "bo")


def data(rng, dtype):
    return {"X": rng.normal(size=(2, 6, 5)).astype(dtype), "T": rng.normal(size=(2, 6, 5)).astype(dtype),
            "Wq": (0.6 * rng.normal(size=(5, 4))).astype(dtype), "Wk": (0.6 * rng.normal(size=(5, 4))).astype(dtype),
            "Wv": (0.6 * rng.normal(size=(5, 5))).astype(dtype), "Wo": (0.6 * rng.normal(size=(5, 5))).astype(dtype),
            "bo": rng.normal(size=5).astype(dtype)}


def loss(X, T, Wq, Wk, Wv, Wo, bo):
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    scores = np.einsum("bqd,bkd->bqk", Q, K)
    scaled = scores / 2.0
    P = ad.softmax(scaled, axis=-1)
    context = np.einsum("bqk,bkv->bqv", P, V)
    O = context @ Wo + bo
    out = X + O
    diff = out - T
    per_position = np.sum(diff ** 2, axis=-1)
    total = np.mean(per_position)
    return total


def softmax(s):
    e = np.exp(s - np.max(s, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def backward_with_cache(X, T, Wq, Wk, Wv, Wo, bo):
    def attention_forward():
        Q, K, V = X @ Wq, X @ Wk, X @ Wv
        P = softmax(Q @ K.transpose(0, 2, 1) / np.sqrt(4))
        context = P @ V
        return X + context @ Wo + bo, {"Q": Q, "K": K, "V": V, "P": P, "context": context}

    out, cache = attention_forward()
    B, L, D = X.shape
    Q, K, V, P = cache["Q"], cache["K"], cache["V"], cache["P"]
    dout = 2 * (out - T) / (B * L)
    dX = dout.copy()
    dO = dout
    dbo = dO.sum(axis=(0, 1))
    dWo = cache["context"].reshape(-1, 5).T @ dO.reshape(-1, D)
    dcontext = dO @ Wo.T
    dV = P.transpose(0, 2, 1) @ dcontext
    dP = dcontext @ V.transpose(0, 2, 1)
    dscaled = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))
    dscores = dscaled / np.sqrt(Q.shape[-1])
    dQ = dscores @ K
    dK = dscores.transpose(0, 2, 1) @ Q
    flat = X.reshape(B * L, D).T
    dWq = flat @ dQ.reshape(B * L, -1)
    dWk = flat @ dK.reshape(B * L, -1)
    dWv = flat @ dV.reshape(B * L, -1)
    dX += dQ @ Wq.T
    dX += dK @ Wk.T
    dX += dV @ Wv.T
    return {"dX": dX, "dWq": dWq, "dWk": dWk, "dWv": dWv, "dWo": dWo, "dbo": dbo}


def indices_everywhere(X, T, Wq, Wk, Wv, Wo, bo):
    q = np.einsum("bid,dh->bih", X, Wq)
    k = np.einsum("bid,dh->bih", X, Wk)
    v = np.einsum("bid,de->bie", X, Wv)
    a = softmax(0.5 * np.einsum("bih,bjh->bij", q, k))
    c = np.einsum("bij,bje->bie", a, v)
    r = X + np.einsum("bie,ef->bif", c, Wo) + bo - T
    g_out = r * (2 / (X.shape[0] * X.shape[1]))
    g_Wo = np.einsum("bie,bif->ef", c, g_out)
    g_c = np.einsum("bif,ef->bie", g_out, Wo)
    g_a = np.einsum("bie,bje->bij", g_c, v)
    g_v = np.einsum("bij,bie->bje", a, g_c)
    mean_g = np.einsum("bij,bij->bi", g_a, a)
    g_s = 0.5 * a * (g_a - mean_g[:, :, None])
    g_q = np.einsum("bij,bjh->bih", g_s, k)
    g_k = np.einsum("bij,bih->bjh", g_s, q)
    g_Wq = np.einsum("bid,bih->dh", X, g_q)
    g_Wk = np.einsum("bid,bih->dh", X, g_k)
    g_Wv = np.einsum("bid,bie->de", X, g_v)
    g_x_qk = np.einsum("bih,dh->bid", g_q, Wq) + np.einsum("bih,dh->bid", g_k, Wk)
    g_X = g_out + g_x_qk + np.einsum("bie,de->bid", g_v, Wv)
    return {"X": g_X, "Wq": g_Wq, "Wk": g_Wk, "Wv": g_Wv, "Wo": g_Wo, "bo": np.einsum("bif->f", g_out)}


def sequence_by_sequence(X, T, Wq, Wk, Wv, Wo, bo):
    m, seq = X.shape[0], X.shape[1]
    dX, dWq, dWk, dWv, dWo, dbo = (np.zeros_like(p) for p in (X, Wq, Wk, Wv, Wo, bo))
    for n in range(m):
        x = X[n]
        Q, K, V = x @ Wq, x @ Wk, x @ Wv
        A = softmax(Q @ K.T / 2)
        H = A @ V
        dY = 2 * (x + H @ Wo + bo - T[n]) / seq
        dH = dY @ Wo.T
        dA = dH @ V.T
        dS = np.zeros_like(A)
        for i in range(seq):
            jac = np.diag(A[i]) - np.outer(A[i], A[i])
            dS[i] = jac @ dA[i]
        dS = dS / 2
        dQ = dS @ K
        dK = dS.T @ Q
        dV = A.T @ dH
        dWo += H.T @ dY
        dbo += dY.sum(axis=0)
        dWq += x.T @ dQ
        dWk += x.T @ dK
        dWv += x.T @ dV
        dX[n] = dY + dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T
    return {"X": dX / m, "Wq": dWq / m, "Wk": dWk / m, "Wv": dWv / m, "Wo": dWo / m, "bo": dbo / m}


RIGHT = (backward_with_cache, indices_everywhere, sequence_by_sequence)

SLIPS = (
    Slip("residual's share of X forgotten", backward_with_cache,
         ("dX = dout.copy()", "dX = np.zeros_like(X)"),
         label=label("dropped-path", "X out O", "add")),
    Slip("softmax differentiated entry by entry", backward_with_cache,
         ("dscaled = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))", "dscaled = dP * P * (1 - P)"),
         label=label("softmax-diagonal", "P scaled scores", "softmax")),
    Slip("softmax's sum over the queries", backward_with_cache,
         ("dscaled = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))",
          "dscaled = P * (dP - np.sum(dP * P, axis=1, keepdims=True))"),
         label=label("wrong-axis softmax-diagonal", "P scaled scores", "softmax")),
    Slip("scale of the scores forgotten going back", backward_with_cache,
         ("dscores = dscaled / np.sqrt(Q.shape[-1])", "dscores = dscaled"),
         label=label("scale missing-local-derivative", "scores scaled P", "divide softmax einsum")),
    Slip("gradient of the scores not transposed for the keys", backward_with_cache,
         ("dK = dscores.transpose(0, 2, 1) @ Q", "dK = dscores @ Q"),
         label=label("missing-transpose", "K scores", "einsum")),
    Slip("attention not transposed for the values", backward_with_cache,
         ("dV = P.transpose(0, 2, 1) @ dcontext", "dV = P @ dcontext"),
         label=label("missing-transpose", "V context P", "einsum")),
    Slip("output bias averaged over the batch too", backward_with_cache,
         ("dbo = dO.sum(axis=(0, 1))", "dbo = dO.sum(axis=1).mean(axis=0)"),
         label=label("scale", "bo O", "add")),
    Slip("X overwritten by the part through the keys", backward_with_cache, ("dX += dK @ Wk.T", "dX = dK @ Wk.T"),
         label=label("overwritten-accumulation dropped-path", "X Q out", "add matmul")),
    Slip("queries go back to X through Wk", backward_with_cache,
         ("dX += dQ @ Wq.T", "dX += dQ @ Wk.T"),
         label=label("wrong-operand", "X Q Wq Wk", "matmul")),
    Slip("values before mixing for Wo", backward_with_cache,
         ('dWo = cache["context"].reshape(-1, 5).T @ dO.reshape(-1, D)',
          'dWo = cache["V"].reshape(-1, 5).T @ dO.reshape(-1, D)'),
         label=label("wrong-operand", "Wo context V O", "matmul")),
    Slip("divided by the batch only", backward_with_cache,
         ("dout = 2 * (out - T) / (B * L)", "dout = 2 * (out - T) / B"),
         label=label("scale", "total per_position diff out", "mean sum square subtract")),
    Slip("residual gradient added in before the projection as well", backward_with_cache,
         ("dcontext = dO @ Wo.T", "dcontext = dO @ Wo.T + dout"),
         label=label("extra-term wrong-local-rule", "context O out", "add matmul")),
    Slip("Wo with its indices the other way round", indices_everywhere,
         ('g_c = np.einsum("bif,ef->bie", g_out, Wo)', 'g_c = np.einsum("bif,fe->bie", g_out, Wo)'),
         label=label("missing-transpose", "context O Wo", "matmul")),
    Slip("queries' gradient from the queries", indices_everywhere,
         ('g_q = np.einsum("bij,bjh->bih", g_s, k)', 'g_q = np.einsum("bij,bjh->bih", g_s, q)'),
         label=label("wrong-operand", "Q K scores", "einsum")),
    Slip("plus in the derivative of softmax", indices_everywhere,
         ("g_s = 0.5 * a * (g_a - mean_g[:, :, None])", "g_s = 0.5 * a * (g_a + mean_g[:, :, None])"),
         label=label("softmax-diagonal sign", "P scaled scores", "softmax")),
    Slip("attention weights missing outside the bracket", indices_everywhere,
         ("g_s = 0.5 * a * (g_a - mean_g[:, :, None])", "g_s = 0.5 * (g_a - mean_g[:, :, None])"),
         label=label("softmax-diagonal wrong-local-rule missing-local-derivative", "P scaled scores", "softmax")),
    Slip("row means without the weights", indices_everywhere,
         ('mean_g = np.einsum("bij,bij->bi", g_a, a)', 'mean_g = np.einsum("bij->bi", g_a) / a.shape[2]'),
         label=label("softmax-diagonal wrong-local-rule", "P scaled scores", "softmax")),
    Slip("key part missing from X", indices_everywhere,
         ('g_x_qk = np.einsum("bih,dh->bid", g_q, Wq) + np.einsum("bih,dh->bid", g_k, Wk)',
          'g_x_qk = np.einsum("bih,dh->bid", g_q, Wq)'),
         label=label("dropped-path", "X K", "matmul")),
    Slip("mean over the entries, not the positions", indices_everywhere,
         ("g_out = r * (2 / (X.shape[0] * X.shape[1]))", "g_out = r * (2 / r.size)"),
         label=label("scale", "total per_position diff out", "mean sum square subtract")),
    Slip("Wk and Wq handed back the wrong way round", indices_everywhere,
         ('return {"X": g_X, "Wq": g_Wq, "Wk": g_Wk, "Wv": g_Wv, "Wo": g_Wo, "bo": np.einsum("bif->f", g_out)}',
          'return {"X": g_X, "Wq": g_Wk, "Wk": g_Wq, "Wv": g_Wv, "Wo": g_Wo, "bo": np.einsum("bif->f", g_out)}'),
         label=label("swapped", "Wq Wk Q K", "matmul")),
    Slip("Wv given the mixed values' gradient", indices_everywhere,
         ('g_Wv = np.einsum("bid,bie->de", X, g_v)', 'g_Wv = np.einsum("bid,bie->de", X, g_c)'),
         label=label("wrong-operand missing-local-derivative", "Wv V context P", "matmul einsum")),
    Slip("two of the square forgotten", sequence_by_sequence,
         ("dY = 2 * (x + H @ Wo + bo - T[n]) / seq", "dY = (x + H @ Wo + bo - T[n]) / seq"),
         label=label("scale wrong-local-rule", "total per_position diff out", "mean sum square subtract")),
    Slip("residual missing when the error is recomputed", sequence_by_sequence,
         ("dY = 2 * (x + H @ Wo + bo - T[n]) / seq", "dY = 2 * (H @ Wo + bo - T[n]) / seq"),
         label=label("wrong-argument wrong-operand missing-term", "diff out O X per_position",
                     "square subtract add")),
    Slip("Jacobian as outer product minus diagonal", sequence_by_sequence,
         ("jac = np.diag(A[i]) - np.outer(A[i], A[i])", "jac = np.outer(A[i], A[i]) - np.diag(A[i])"),
         label=label("sign softmax-diagonal", "P scaled scores", "softmax divide einsum")),
    Slip("first row of the attention in every Jacobian", sequence_by_sequence,
         ("jac = np.diag(A[i]) - np.outer(A[i], A[i])", "jac = np.diag(A[i]) - np.outer(A[0], A[i])"),
         label=label("wrong-operand softmax-diagonal wrong-argument", "P scaled scores", "softmax")),
    Slip("first position's scores left at zero", sequence_by_sequence,
         ("for i in range(seq):", "for i in range(1, seq):"),
         label=label("dropped-path", "P scaled scores", "softmax divide einsum")),
    Slip("Wv only from the last sequence", sequence_by_sequence, ("dWv += x.T @ dV", "dWv = x.T @ dV"),
         label=label("overwritten-accumulation dropped-path", "Wv V", "matmul")),
    Slip("V's gradient from the output without the projection", sequence_by_sequence,
         ("dV = A.T @ dH", "dV = A.T @ dY"),
         label=label("missing-local-derivative wrong-operand", "V context O Wo", "einsum matmul")),
    Slip("scale forgotten, and keys' gradient missing for X", sequence_by_sequence,
         ("dS = dS / 2", ""),
         ("dX[n] = dY + dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T", "dX[n] = dY + dQ @ Wq.T + dV @ Wv.T"),
         label=label("two", "scores scaled P X K", "divide softmax einsum matmul")),
)
