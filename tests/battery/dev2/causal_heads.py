"""Self-attention with two heads and a causal mask, its heads joined and projected, squared error."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wq", "Wk", "Wv", "Wo", "x")


def data(rng, dtype):
    return {"x": rng.normal(size=(5, 4)).astype(dtype), "y": rng.normal(size=(5, 3)).astype(dtype),
            "Wq": (0.6 * rng.normal(size=(2, 4, 3))).astype(dtype), "Wk": (0.6 * rng.normal(size=(2, 4,
             3))).astype(dtype),
            "Wv": (0.6 * rng.normal(size=(2, 4, 2))).astype(dtype), "Wo": (0.6 * rng.normal(size=(4, 3))).astype(dtype)}


def loss(x, y, Wq, Wk, Wv, Wo):
    allowed = np.tril(np.ones((5, 5), bool))
    q = np.einsum("td,hde->hte", x, Wq)
    k = np.einsum("td,hde->hte", x, Wk)
    v = np.einsum("td,hde->hte", x, Wv)
    s = q @ k.transpose(0, 2, 1) / np.sqrt(3)
    m = np.where(allowed, s, -1e9)
    A = ad.softmax(m, axis=-1)
    o = A @ v
    joined = o.transpose(1, 0, 2).reshape(5, 4)
    out = joined @ Wo
    e = out - y
    loss = np.mean(e ** 2)
    return loss


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def all_heads(x, y, Wq, Wk, Wv, Wo):
    T = len(x)
    d = Wq.shape[2]
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(d)
    hidden = np.triu(np.ones((T, T)), 1) > 0
    scores[:, hidden] = -1e9
    A = softmax(scores)
    o = A @ v
    joined = o.transpose(1, 0, 2).reshape(T, -1)
    dout = 2 * (joined @ Wo - y) / y.size
    dWo = joined.T @ dout
    djoined = dout @ Wo.T
    do = djoined.reshape(T, 2, -1).transpose(1, 0, 2)
    dv = A.transpose(0, 2, 1) @ do
    dA = do @ v.transpose(0, 2, 1)
    ds = A * (dA - (A * dA).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(d)
    dq = ds @ k
    dk = ds.transpose(0, 2, 1) @ q
    dWq = x.T @ dq
    dWk = x.T @ dk
    dWv = x.T @ dv
    dx = (dq @ Wq.transpose(0, 2, 1)).sum(axis=0)
    dx += (dk @ Wk.transpose(0, 2, 1)).sum(axis=0)
    dx += (dv @ Wv.transpose(0, 2, 1)).sum(axis=0)
    return {"Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo, "x": dx}


def query_by_query(x, y, Wq, Wk, Wv, Wo):
    T, d = len(x), Wq.shape[-1]
    width = Wv.shape[-1]
    grads = {"Wq": np.zeros_like(Wq), "Wk": np.zeros_like(Wk), "Wv": np.zeros_like(Wv)}
    joined = np.zeros((T, 2 * width))
    P = []
    for h in range(2):
        K, V = x @ Wk[h], x @ Wv[h]
        rows = []
        for t in range(T):
            w = np.exp(K[:t + 1] @ (x[t] @ Wq[h]) / d ** 0.5)
            rows.append(w / w.sum())
            joined[t, h * width:(h + 1) * width] = rows[t] @ V[:t + 1]
        P.append(rows)
    g_out = (joined @ Wo - y) * 2 / y.size
    g_x = np.zeros_like(x)
    for h in range(2):
        K, V = x @ Wk[h], x @ Wv[h]
        gK, gV = np.zeros_like(K), np.zeros_like(V)
        for t in range(T):
            p = P[h][t]
            g_o = Wo[h * width:(h + 1) * width] @ g_out[t]
            gV[:t + 1] += np.outer(p, g_o)
            g_p = V[:t + 1] @ g_o
            g_s = p * (g_p - p @ g_p) / d ** 0.5
            gK[:t + 1] += np.outer(g_s, x[t] @ Wq[h])
            g_q = g_s @ K[:t + 1]
            grads["Wq"][h] += np.outer(x[t], g_q)
            g_x[t] += Wq[h] @ g_q
        grads["Wk"][h] = x.T @ gK
        grads["Wv"][h] = x.T @ gV
        g_x += gK @ Wk[h].T + gV @ Wv[h].T
    return {**grads, "Wo": joined.T @ g_out, "x": g_x}


RIGHT = (all_heads, query_by_query)

SLIPS = (
    Slip("root of d left out on the way back", all_heads, ("ds = ds / np.sqrt(d)", ""),
         label=label("scale missing-local-derivative", "s m A q", "divide matmul")),
    Slip("divided by d", all_heads, ("ds = ds / np.sqrt(d)", "ds = ds / d"),
         label=label("scale double-derivative", "s m A q", "divide matmul")),
    Slip("sum over the queries in the softmax", all_heads,
         ("ds = A * (dA - (A * dA).sum(axis=-1, keepdims=True))",
          "ds = A * (dA - (A * dA).sum(axis=1, keepdims=True))"),
         label=label("wrong-axis softmax-diagonal", "A m s", "softmax")),
    Slip("diagonal of the softmax only", all_heads,
         ("ds = A * (dA - (A * dA).sum(axis=-1, keepdims=True))", "ds = A * (1 - A) * dA"),
         label=label("softmax-diagonal wrong-local-rule", "A m s", "softmax")),
    Slip("inner product without the weights", all_heads,
         ("ds = A * (dA - (A * dA).sum(axis=-1, keepdims=True))", "ds = A * (dA - dA.sum(axis=-1, keepdims=True))"),
         label=label("softmax-diagonal wrong-local-rule", "A m s", "softmax")),
    Slip("causal mask forgotten in the recomputed forward", all_heads, ("scores[:, hidden] = -1e9", ""),
         label=label("missing-term dropped-path wrong-argument wrong-operand missing-local-derivative", "m s A",
                     "where softmax")),
    Slip("mask hides the diagonal as well", all_heads,
         ("hidden = np.triu(np.ones((T, T)), 1) > 0", "hidden = np.triu(np.ones((T, T)), 0) > 0"),
         label=label("wrong-argument wrong-operand dropped-path", "m s A", "where softmax")),
    Slip("mask the other way up", all_heads,
         ("hidden = np.triu(np.ones((T, T)), 1) > 0", "hidden = np.tril(np.ones((T, T)), -1) > 0"),
         label=label("wrong-argument wrong-operand missing-transpose dropped-path", "m s A", "where softmax")),
    Slip("A not transposed for the values", all_heads,
         ("dv = A.transpose(0, 2, 1) @ do", "dv = A @ do"),
         label=label("missing-transpose", "v A o", "matmul")),
    Slip("dk by the keys", all_heads, ("dk = ds.transpose(0, 2, 1) @ q", "dk = ds.transpose(0, 2, 1) @ k"),
         label=label("wrong-operand", "k q s", "matmul transpose")),
    Slip("dk without the transpose", all_heads, ("dk = ds.transpose(0, 2, 1) @ q", "dk = ds @ q"),
         label=label("missing-transpose", "k q s", "matmul transpose")),
    Slip("dq by the queries", all_heads, ("dq = ds @ k", "dq = ds @ q"),
         label=label("wrong-operand", "q k s", "matmul")),
    Slip("heads pulled apart the wrong way", all_heads,
         ("do = djoined.reshape(T, 2, -1).transpose(1, 0, 2)", "do = djoined.reshape(2, T, -1)"),
         label=label("wrong-axis scatter missing-transpose", "o joined", "reshape transpose")),
    Slip("x through the values overwrites", all_heads,
         ("dx += (dv @ Wv.transpose(0, 2, 1)).sum(axis=0)", "dx = (dv @ Wv.transpose(0, 2, 1)).sum(axis=0)"),
         label=label("overwritten-accumulation dropped-path", "x q k v", "einsum")),
    Slip("x not through the keys", all_heads, ("dx += (dk @ Wk.transpose(0, 2, 1)).sum(axis=0)", ""),
         label=label("dropped-path treated-as-constant", "x k", "einsum")),
    Slip("x through the queries of the first head", all_heads,
         ("dx = (dq @ Wq.transpose(0, 2, 1)).sum(axis=0)", "dx = (dq @ Wq.transpose(0, 2, 1))[0]"),
         label=label("missing-broadcast-reduction dropped-path overwritten-accumulation wrong-axis", "x q", "einsum")),
    Slip("heads' x averaged", all_heads,
         ("dx += (dk @ Wk.transpose(0, 2, 1)).sum(axis=0)", "dx += (dk @ Wk.transpose(0, 2, 1)).mean(axis=0)"),
         label=label("scale", "x k", "einsum")),
    Slip("keys' weights for the values' part", all_heads,
         ("dWv = x.T @ dv", "dWv = x.T @ do"),
         label=label("wrong-operand missing-local-derivative dropped-path", "Wv v o A", "einsum matmul")),
    Slip("averaged over the rows only", all_heads,
         ("dout = 2 * (joined @ Wo - y) / y.size", "dout = 2 * (joined @ Wo - y) / len(y)"),
         label=label("scale", "e out loss", "mean square")),
    Slip("no two, dWk of one head twice", all_heads,
         ("dout = 2 * (joined @ Wo - y) / y.size", "dout = (joined @ Wo - y) / y.size"),
         ("dWk = x.T @ dk", "dWk = x.T @ dk[::-1]"),
         label=label("two", "e out loss Wk k", "mean square einsum")),
    Slip("keys one position short", query_by_query,
         ("gK[:t + 1] += np.outer(g_s, x[t] @ Wq[h])", "gK[:t] += np.outer(g_s, x[t] @ Wq[h])[:t]"),
         label=label("dropped-path scatter", "k s", "matmul transpose")),
    Slip("values set, not added", query_by_query, ("gV[:t + 1] += np.outer(p, g_o)", "gV[:t + 1] = np.outer(p, g_o)"),
         label=label("overwritten-accumulation dropped-path", "v o A", "matmul")),
    Slip("queries of the first head in the second", query_by_query,
         ("gK[:t + 1] += np.outer(g_s, x[t] @ Wq[h])", "gK[:t + 1] += np.outer(g_s, x[t] @ Wq[0])"),
         label=label("wrong-operand stale-value", "k q s", "matmul transpose")),
    Slip("Wo's rows of the first head", query_by_query,
         ("g_o = Wo[h * width:(h + 1) * width] @ g_out[t]", "g_o = Wo[:width] @ g_out[t]"),
         label=label("wrong-operand scatter", "o joined Wo", "matmul reshape")),
    Slip("first query skipped", query_by_query, ("g_o = Wo[h * width:(h + 1) * width] @ g_out[t]",
         "g_o = Wo[h * width:(h + 1) * width] @ g_out[t] * (t > 0)"),
         label=label("dropped-path missing-local-derivative wrong-operand", "o joined", "matmul reshape")),
    Slip("x of the query only once", query_by_query, ("g_x[t] += Wq[h] @ g_q", "g_x[t] = Wq[h] @ g_q"),
         label=label("overwritten-accumulation dropped-path scatter", "x q", "einsum")),
    Slip("root left out of the recomputed weights", query_by_query,
         ("w = np.exp(K[:t + 1] @ (x[t] @ Wq[h]) / d ** 0.5)", "w = np.exp(K[:t + 1] @ (x[t] @ Wq[h]))"),
         label=label("scale missing-local-derivative wrong-argument", "s m A", "divide softmax")),
)
