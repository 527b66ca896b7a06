"""One head of self-attention on a batch, projected and added to its input; every path to the input counts."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("X", "Wq", "bq", "Wk", "Wv", "Wo", "bo")


def data(rng, dtype):
    B, T, D, d = 2, 5, 4, 3
    shapes = {"X": (B, T, D), "Wq": (D, d), "bq": (d,), "Wk": (D, d), "Wv": (D, D), "Wo": (D, D), "bo": (D,),
              "Y": (B, T, D)}
    return {k: (0.8 * rng.normal(size=s)).astype(dtype) for k, s in shapes.items()}


def loss(X, Wq, bq, Wk, Wv, Wo, bo, Y):
    Q = X @ Wq + bq
    K = X @ Wk
    V = X @ Wv
    scores = Q @ K.transpose(0, 2, 1) / np.sqrt(3)
    A = ad.softmax(scores, axis=-1)
    C = A @ V
    O = C @ Wo + bo
    R = X + O
    diff = R - Y
    loss = np.mean(diff ** 2)
    return loss


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def batched(X, Wq, bq, Wk, Wv, Wo, bo, Y):
    def t(M):
        return M.swapaxes(-1, -2)

    Q, K, V = X @ Wq + bq, X @ Wk, X @ Wv
    root = np.sqrt(K.shape[-1])
    A = softmax(Q @ t(K) / root)
    C = A @ V
    dR = 2 * (X + C @ Wo + bo - Y) / Y.size
    dWo = (t(C) @ dR).sum(0)
    dbo = dR.sum((0, 1))
    dC = dR @ Wo.T
    dA = dC @ t(V)
    dV = t(A) @ dC
    dS = A * (dA - (A * dA).sum(-1, keepdims=True))
    dS /= root
    dQ = dS @ K
    dK = t(dS) @ Q
    dX = dR.copy()
    dX += dQ @ Wq.T
    dX += dK @ Wk.T
    dX += dV @ Wv.T
    return {"X": dX, "Wq": (t(X) @ dQ).sum(0), "bq": dQ.sum((0, 1)), "Wk": (t(X) @ dK).sum(0),
            "Wv": (t(X) @ dV).sum(0), "Wo": dWo, "bo": dbo}


def einsums(X, Wq, bq, Wk, Wv, Wo, bo, Y):
    B, T, D = X.shape
    q = np.einsum("btd,de->bte", X, Wq) + bq
    k = np.einsum("btd,de->bte", X, Wk)
    v = np.einsum("btd,df->btf", X, Wv)
    s = np.einsum("bie,bje->bij", q, k) / 3 ** 0.5
    a = softmax(s)
    ctx = np.einsum("bij,bjf->bif", a, v)
    o = np.einsum("bif,fd->bid", ctx, Wo) + bo
    g_o = (o + X - Y) * 2 / (B * T * D)
    g_Wo = np.einsum("bif,bid->fd", ctx, g_o)
    g_bo = np.einsum("bid->d", g_o)
    g_ctx = np.einsum("bid,fd->bif", g_o, Wo)
    g_a = np.einsum("bif,bjf->bij", g_ctx, v)
    g_v = np.einsum("bij,bif->bjf", a, g_ctx)
    g_s = a * g_a - a * np.einsum("bij,bij->bi", a, g_a)[:, :, None]
    g_q = np.einsum("bij,bje->bie", g_s, k) / 3 ** 0.5
    g_k = np.einsum("bij,bie->bje", g_s, q) / 3 ** 0.5
    g_Wq = np.einsum("btd,bte->de", X, g_q)
    g_bq = np.einsum("bte->e", g_q)
    g_Wk = np.einsum("btd,bte->de", X, g_k)
    g_Wv = np.einsum("btd,btf->df", X, g_v)
    g_X = (g_o + np.einsum("bte,de->btd", g_q, Wq) + np.einsum("bte,de->btd", g_k, Wk)
           + np.einsum("btf,df->btd", g_v, Wv))
    return {"X": g_X, "Wq": g_Wq, "bq": g_bq, "Wk": g_Wk, "Wv": g_Wv, "Wo": g_Wo, "bo": g_bo,
            "Q": g_q, "K": g_k, "V": g_v, "A": g_a, "C": g_ctx, "O": g_o}


def query_after_query(X, Wq, bq, Wk, Wv, Wo, bo, Y):
    n = Y.size
    dWq, dbq, dWk = np.zeros_like(Wq), np.zeros_like(bq), np.zeros_like(Wk)
    dWv, dWo, dbo = np.zeros_like(Wv), np.zeros_like(Wo), np.zeros_like(bo)
    dX = np.zeros_like(X)
    for s, x in enumerate(X):
        queries = x @ Wq + bq
        keys = x @ Wk
        values = x @ Wv
        dkeys = np.zeros_like(keys)
        dvalues = np.zeros_like(values)
        for i in range(len(x)):
            p = softmax(keys @ queries[i] / np.sqrt(3))
            mix = p @ values
            resid = x[i] + mix @ Wo + bo - Y[s, i]
            dr = 2 * resid / n
            dX[s, i] += dr
            dbo += dr
            dWo += np.outer(mix, dr)
            dmix = Wo @ dr
            dp = values @ dmix
            dvalues += np.outer(p, dmix)
            jac = np.diag(p) - np.outer(p, p)
            dlogit = jac @ dp / np.sqrt(3)
            dquery = keys.T @ dlogit
            dkeys += np.outer(dlogit, queries[i])
            dWq += np.outer(x[i], dquery)
            dbq += dquery
            dX[s, i] += Wq @ dquery
        dWk += x.T @ dkeys
        dWv += x.T @ dvalues
        dX[s] += dkeys @ Wk.T + dvalues @ Wv.T
    return {"dX": dX, "dWq": dWq, "dbq": dbq, "dWk": dWk, "dWv": dWv, "dWo": dWo, "dbo": dbo}


def flattened(X, Wq, bq, Wk, Wv, Wo, bo, Y):
    B, T, D = X.shape
    flat = X.reshape(B * T, D)
    scale = 1 / np.sqrt(Wk.shape[1])
    WK = Wk * scale
    Q = (flat @ Wq + bq).reshape(B, T, -1)
    K = (flat @ WK).reshape(B, T, -1)
    V = (flat @ Wv).reshape(B, T, -1)
    A = softmax(np.matmul(Q, np.transpose(K, (0, 2, 1))))
    H = np.matmul(A, V).reshape(B * T, -1)
    error = H @ Wo + bo + flat - Y.reshape(B * T, D)
    delta = error * (2 / error.size)
    grad_Wo = H.T @ delta
    grad_bo = np.ones(B * T) @ delta
    delta_H = (delta @ Wo.T).reshape(B, T, -1)
    delta_A = np.matmul(delta_H, np.transpose(V, (0, 2, 1)))
    row = np.sum(delta_H * H.reshape(B, T, -1), axis=2, keepdims=True)
    delta_S = A * (delta_A - row)
    delta_Q = np.matmul(delta_S, K).reshape(B * T, -1)
    delta_K = np.matmul(np.transpose(delta_S, (0, 2, 1)), Q).reshape(B * T, -1)
    delta_V = np.matmul(np.transpose(A, (0, 2, 1)), delta_H).reshape(B * T, -1)
    grad_Wq = flat.T @ delta_Q
    grad_bq = np.ones(B * T) @ delta_Q
    grad_Wk = flat.T @ delta_K * scale
    grad_Wv = flat.T @ delta_V
    grad_flat = delta + delta_Q @ Wq.T + delta_K @ WK.T + delta_V @ Wv.T
    return {"X": grad_flat.reshape(X.shape), "Wq": grad_Wq, "bq": grad_bq, "Wk": grad_Wk, "Wv": grad_Wv,
            "Wo": grad_Wo, "bo": grad_bo}


RIGHT = (batched, einsums, query_after_query, flattened)

SLIPS = (
    Slip("scores' root forgotten going back", batched, ("dS /= root", ""),
         label=label("scale missing-local-derivative", "scores A Q K", "divide softmax matmul")),
    Slip("root multiplied instead of divided", batched, ("dS /= root", "dS *= root"),
         label=label("scale wrong-local-rule", "scores A Q K", "divide softmax matmul")),
    Slip("row sum of the softmax forgotten", batched,
         ("dS = A * (dA - (A * dA).sum(-1, keepdims=True))", "dS = A * dA"),
         label=label("softmax-diagonal treated-as-constant wrong-local-rule", "scores A", "softmax")),
    Slip("softmax differentiated like a sigmoid", batched,
         ("dS = A * (dA - (A * dA).sum(-1, keepdims=True))", "dS = A * (1 - A) * dA"),
         label=label("softmax-diagonal wrong-local-rule", "scores A", "softmax")),
    Slip("softmax summed down the queries", batched,
         ("dS = A * (dA - (A * dA).sum(-1, keepdims=True))", "dS = A * (dA - (A * dA).sum(-2, keepdims=True))"),
         label=label("wrong-axis softmax-diagonal", "scores A", "softmax")),
    Slip("keys get the score's gradient not transposed", batched, ("dK = t(dS) @ Q", "dK = dS @ Q"),
         label=label("missing-transpose", "K scores", "matmul transpose")),
    Slip("attention not transposed for the values", batched, ("dV = t(A) @ dC", "dV = A @ dC"),
         label=label("missing-transpose", "V C A", "matmul")),
    Slip("projection skipped going back", batched, ("dC = dR @ Wo.T", "dC = dR"),
         label=label("missing-local-derivative wrong-operand", "C O Wo", "matmul")),
    Slip("skip connection forgotten at the input", batched, ("dX = dR.copy()", "dX = np.zeros_like(X)"),
         label=label("dropped-path", "X R", "add")),
    Slip("queries overwrite the skip's part", batched, ("dX += dQ @ Wq.T", "dX = dQ @ Wq.T"),
         label=label("overwritten-accumulation dropped-path", "X R Q", "add matmul")),
    Slip("keys come back through the query's matrix", batched, ("dX += dK @ Wk.T", "dX += dK @ Wq.T"),
         label=label("wrong-operand", "X K Wk Wq", "matmul")),
    Slip("mean over the sequences for Wo", batched, ("dWo = (t(C) @ dR).sum(0)", "dWo = (t(C) @ dR).mean(0)"),
         label=label("scale", "Wo O", "matmul")),
    Slip("queries meet themselves", batched, ("dQ = dS @ K", "dQ = dS @ Q"),
         label=label("wrong-operand", "Q scores K", "matmul")),
    Slip("scores not scaled in the forward", batched, ("A = softmax(Q @ t(K) / root)", "A = softmax(Q @ t(K))"),
         label=label("scale wrong-argument stale-value", "scores A", "divide softmax")),
    Slip("root of the model's width", batched, ("root = np.sqrt(K.shape[-1])", "root = np.sqrt(X.shape[-1])"),
         label=label("scale wrong-argument", "scores A Q K", "divide softmax matmul")),
    Slip("values instead of the mixture at Wo", einsums,
         ('g_Wo = np.einsum("bif,bid->fd", ctx, g_o)', 'g_Wo = np.einsum("bif,bid->fd", v, g_o)'),
         label=label("wrong-operand", "Wo O C", "matmul")),
    Slip("indices of Wo exchanged going back", einsums,
         ('g_ctx = np.einsum("bid,fd->bif", g_o, Wo)', 'g_ctx = np.einsum("bid,df->bif", g_o, Wo)'),
         label=label("missing-transpose", "C O Wo", "matmul")),
    Slip("Wk copied from Wq's line", einsums,
         ('g_Wk = np.einsum("btd,bte->de", X, g_k)', 'g_Wk = np.einsum("btd,bte->de", X, g_q)'),
         label=label("wrong-operand swapped", "Wk K", "matmul")),
    Slip("query's bias scaled once more", einsums,
         ('g_bq = np.einsum("bte->e", g_q)', 'g_bq = np.einsum("bte->e", g_q) / 3 ** 0.5'),
         label=label("scale", "bq Q", "add")),
    Slip("square's two forgotten", einsums,
         ("g_o = (o + X - Y) * 2 / (B * T * D)", "g_o = (o + X - Y) / (B * T * D)"),
         label=label("scale wrong-local-rule", "loss diff R O", "square mean subtract")),
    Slip("mean over sequences only", einsums,
         ("g_o = (o + X - Y) * 2 / (B * T * D)", "g_o = (o + X - Y) * 2 / B"),
         label=label("scale", "loss diff R O", "square mean subtract")),
    Slip("skip left out of the residual", einsums,
         ("g_o = (o + X - Y) * 2 / (B * T * D)", "g_o = (o - Y) * 2 / (B * T * D)"),
         label=label("wrong-argument wrong-operand dropped-path", "diff R O loss", "square mean subtract add")),
    Slip("values' path to the input forgotten", einsums,
         ('+ np.einsum("btf,df->btd", g_v, Wv))', ")"),
         label=label("dropped-path", "X V", "matmul")),
    Slip("second part of the softmax with the sign turned", einsums,
         ('g_s = a * g_a - a * np.einsum("bij,bij->bi", a, g_a)[:, :, None]',
          'g_s = a * g_a + a * np.einsum("bij,bij->bi", a, g_a)[:, :, None]'),
         label=label("softmax-diagonal sign wrong-local-rule", "scores A", "softmax")),
    Slip("Wv with the indices of the tokens mixed", einsums,
         ('g_v = np.einsum("bij,bif->bjf", a, g_ctx)', 'g_v = np.einsum("bij,bjf->bif", a, g_ctx)'),
         label=label("missing-transpose wrong-axis", "V C A", "matmul")),
    Slip("only the diagonal of the Jacobian", query_after_query,
         ("jac = np.diag(p) - np.outer(p, p)", "jac = np.diag(p)"),
         label=label("softmax-diagonal treated-as-constant wrong-local-rule", "scores A", "softmax")),
    Slip("keys set by the last query", query_after_query,
         ("dkeys += np.outer(dlogit, queries[i])", "dkeys = np.outer(dlogit, queries[i])"),
         label=label("overwritten-accumulation dropped-path", "K scores", "matmul transpose")),
    Slip("keys' gradient with the key", query_after_query,
         ("dkeys += np.outer(dlogit, queries[i])", "dkeys += np.outer(dlogit, keys[i])"),
         label=label("wrong-operand", "K scores Q", "matmul")),
    Slip("values' gradient only at the query's own place", query_after_query,
         ("dvalues += np.outer(p, dmix)", "dvalues[i] += p[i] * dmix"),
         label=label("dropped-path scatter", "V C A", "matmul")),
    Slip("Wq by the last token of the sequence", query_after_query,
         ("dWq += np.outer(x[i], dquery)", "dWq += np.outer(x[-1], dquery)"),
         label=label("wrong-operand scatter", "Wq Q", "matmul")),
    Slip("input set by the keys and values", query_after_query,
         ("dX[s] += dkeys @ Wk.T + dvalues @ Wv.T", "dX[s] = dkeys @ Wk.T + dvalues @ Wv.T"),
         label=label("overwritten-accumulation dropped-path", "X R Q K V", "add matmul")),
    Slip("Wv of the last sequence only", query_after_query, ("dWv += x.T @ dvalues", "dWv = x.T @ dvalues"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "Wv V", "matmul")),
    Slip("values' gradient kept from the sequence before", query_after_query,
         ("dvalues = np.zeros_like(values)", "dvalues = np.zeros_like(values) if s == 0 else dvalues"),
         label=label("stale-value extra-term", "V C", "matmul")),
    Slip("values instead of the mixture in the softmax's row sums", flattened,
         ("row = np.sum(delta_H * H.reshape(B, T, -1), axis=2, keepdims=True)",
          "row = np.sum(delta_H * V, axis=2, keepdims=True)"),
         label=label("softmax-diagonal wrong-operand wrong-local-rule", "scores A C V", "softmax")),
    Slip("scale folded into Wk forgotten at its gradient", flattened,
         ("grad_Wk = flat.T @ delta_K * scale", "grad_Wk = flat.T @ delta_K"),
         label=label("scale", "Wk K scores", "matmul divide")),
    Slip("input through the unscaled keys", flattened,
         ("grad_flat = delta + delta_Q @ Wq.T + delta_K @ WK.T + delta_V @ Wv.T",
          "grad_flat = delta + delta_Q @ Wq.T + delta_K @ Wk.T + delta_V @ Wv.T"),
         label=label("scale wrong-operand", "X K Wk scores", "matmul divide")),
    Slip("value's gradient taken past the projection", flattened,
         ("delta_V = np.matmul(np.transpose(A, (0, 2, 1)), delta_H).reshape(B * T, -1)",
          "delta_V = np.matmul(np.transpose(A, (0, 2, 1)), delta.reshape(B, T, D)).reshape(B * T, -1)"),
         label=label("missing-local-derivative wrong-operand", "V C O", "matmul")),
    Slip("target minus output, and the output bias averaged", flattened,
         ("delta = error * (2 / error.size)", "delta = -error * (2 / error.size)"),
         ("grad_bo = np.ones(B * T) @ delta", "grad_bo = delta.mean(axis=0)"),
         label=label("two", "diff R O loss bo", "square mean subtract add")),
    Slip("projection's gradient transposed", flattened, ("grad_Wo = H.T @ delta", "grad_Wo = delta.T @ H"),
         label=label("transposed-result missing-transpose", "Wo O", "matmul")),
)
