"""Word vectors: the mean of a window's vectors scores a word and drawn negatives; logistic loss, decayed outputs."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("E", "U", "c")
DECAY = 0.06


def data(rng, dtype):
    ctx, pos, neg = rng.integers(0, 10, size=(6, 3)), rng.integers(0, 10, size=6), rng.integers(0, 10, size=(6, 5))
    ctx[0, 2] = ctx[0, 0]
    neg[1, 3] = pos[1]
    return {"ctx": ctx, "pos": pos, "neg": neg, "E": rng.normal(size=(10, 4)).astype(dtype),
            "U": (0.8 * rng.normal(size=(10, 4))).astype(dtype), "c": (0.4 * rng.normal(size=10)).astype(dtype)}


def loss(ctx, pos, neg, E, U, c):
    h = E[ctx].mean(axis=1)
    u = U[pos]
    v = U[neg]
    s_pos = (h * u).sum(axis=1) + c[pos]
    s_neg = np.einsum("bd,bkd->bk", h, v) + c[neg]
    p_pos = ad.sigmoid(s_pos)
    p_neg = ad.sigmoid(s_neg)
    nll = -np.log(p_pos).sum() - np.log(1 - p_neg).sum()
    penalty = DECAY * (U ** 2).sum()
    loss = nll / len(pos) + penalty
    return loss


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def scattered(ctx, pos, neg, E, U, c):
    B, n_context = ctx.shape
    h = E[ctx].mean(axis=1)
    u, v = U[pos], U[neg]
    s_pos = (h * u).sum(axis=1) + c[pos]
    s_neg = (h[:, None, :] * v).sum(axis=2) + c[neg]
    ds_pos = (sigmoid(s_pos) - 1) / B
    ds_neg = sigmoid(s_neg) / B
    du = ds_pos[:, None] * h
    dv = ds_neg[:, :, None] * h[:, None, :]
    dh = ds_pos[:, None] * u + (ds_neg[:, :, None] * v).sum(axis=1)
    dctx = np.repeat(dh[:, None, :], n_context, axis=1) / n_context
    dE, dU, dc = np.zeros_like(E), np.zeros_like(U), np.zeros_like(c)
    np.add.at(dE, ctx, dctx)
    np.add.at(dU, pos, du)
    np.add.at(dU, neg, dv)
    np.add.at(dc, pos, ds_pos)
    np.add.at(dc, neg, ds_neg)
    dU += 2 * DECAY * U
    return {"E": dE, "U": dU, "c": dc}


def pair_by_pair(ctx, pos, neg, E, U, c):
    B = len(pos)
    grad_E, grad_U, grad_c = np.zeros(E.shape), np.zeros(U.shape), np.zeros(c.shape)
    for b in range(B):
        window = ctx[b]
        h = E[window].mean(axis=0)
        grad_h = np.zeros(E.shape[1])
        pairs = [(pos[b], 1), *((word, 0) for word in neg[b])]
        for word, label in pairs:
            error = (sigmoid(U[word] @ h + c[word]) - label) / B
            grad_c[word] += error
            grad_U[word] += error * h
            grad_h += error * U[word]
        for word in window:
            grad_E[word] += grad_h / len(window)
    grad_U += 2 * DECAY * U
    return {"E": grad_E, "U": grad_U, "c": grad_c}


def one_hot_products(ctx, pos, neg, E, U, c):
    V = len(E)
    M = np.eye(V)[ctx].mean(axis=1)
    P = np.eye(V)[pos]
    N = np.eye(V)[neg].sum(axis=1)
    h = M @ E
    scores = h @ U.T + c
    p = 1 / (1 + np.exp(-scores))
    G = (P * (p - 1) + N * p) / len(pos)
    dU = G.T @ h + 2 * DECAY * U
    dE = M.T @ (G @ U)
    dc = G.sum(axis=0)
    return {"E": dE, "U": dU, "c": dc}


RIGHT = (scattered, pair_by_pair, one_hot_products)

SLIPS = (
    Slip("repeated context words overwrite each other", scattered, ("np.add.at(dE, ctx, dctx)", "dE[ctx] += dctx")),
    Slip("window's mean taken for a sum", scattered,
         ("dctx = np.repeat(dh[:, None, :], n_context, axis=1) / n_context",
          "dctx = np.repeat(dh[:, None, :], n_context, axis=1)")),
    Slip("negatives as if they were positives", scattered,
         ("ds_neg = sigmoid(s_neg) / B", "ds_neg = (sigmoid(s_neg) - 1) / B")),
    Slip("one forgotten at the positives", scattered,
         ("ds_pos = (sigmoid(s_pos) - 1) / B", "ds_pos = sigmoid(s_pos) / B")),
    Slip("window hears of the positive word only", scattered,
         ("dh = ds_pos[:, None] * u + (ds_neg[:, :, None] * v).sum(axis=1)", "dh = ds_pos[:, None] * u")),
    Slip("window hears of one negative only", scattered,
         ("dh = ds_pos[:, None] * u + (ds_neg[:, :, None] * v).sum(axis=1)",
          "dh = ds_pos[:, None] * u + ds_neg[:, :1] * v[:, 0]")),
    Slip("two of the penalty missing", scattered, ("dU += 2 * DECAY * U", "dU += DECAY * U")),
    Slip("penalty not derived", scattered, ("dU += 2 * DECAY * U", "")),
    Slip("penalty only on the rows of the positives", scattered,
         ("dU += 2 * DECAY * U", "rows = np.unique(pos)\ndU[rows] += 2 * DECAY * U[rows]")),
    Slip("penalty on the other table", scattered, ("dU += 2 * DECAY * U", "dE += 2 * DECAY * E")),
    Slip("bias without the negatives", scattered, ("np.add.at(dc, neg, ds_neg)", "")),
    Slip("mean over the negatives", scattered,
         ("ds_neg = sigmoid(s_neg) / B", "ds_neg = sigmoid(s_neg) / s_neg.size")),
    Slip("positives' rows put where the first context word is", scattered,
         ("np.add.at(dU, pos, du)", "np.add.at(dU, ctx[:, 0], du)")),
    Slip("output rows overwritten at the negatives", scattered,
         ("np.add.at(dU, neg, dv)", "dU[neg] = dv")),
    Slip("negative equal to the word is passed over", pair_by_pair,
         ("for word, label in pairs:", "for word, label in [q for q in pairs if q[1] or q[0] != pos[b]]:")),
    Slip("U moves before the window's gradient reads it", pair_by_pair,
         ("grad_U[word] += error * h", "grad_U[word] += error * h\nU[word] -= 0.5 * error * h")),
    Slip("window taken as a set", pair_by_pair, ("for word in window:", "for word in np.unique(window):")),
    Slip("h's gradient not set to zero for each window", pair_by_pair,
         ("grad_h = np.zeros(E.shape[1])", ""), ("B = len(pos)", "B, grad_h = len(pos), np.zeros(E.shape[1])")),
    Slip("decay at every visit of a row", pair_by_pair,
         ("grad_U[word] += error * h", "grad_U[word] += error * h + 2 * DECAY * U[word]"),
         ("grad_U += 2 * DECAY * U", "")),
    Slip("window looked up in the output table", pair_by_pair,
         ("h = E[window].mean(axis=0)", "h = U[window].mean(axis=0)")),
    Slip("tables exchanged", pair_by_pair,
         ('return {"E": grad_E, "U": grad_U, "c": grad_c}', 'return {"E": grad_U, "U": grad_E, "c": grad_c}')),
    Slip("last word of the window forgotten", pair_by_pair,
         ("for word in window:", "for word in window[:-1]:")),
    Slip("label minus probability", pair_by_pair,
         ("error = (sigmoid(U[word] @ h + c[word]) - label) / B",
          "error = (label - sigmoid(U[word] @ h + c[word])) / B")),
    Slip("sigma' again after the error", one_hot_products,
         ("G = (P * (p - 1) + N * p) / len(pos)", "G = (P * (p - 1) + N * p) * p * (1 - p) / len(pos)")),
    Slip("repeated negatives counted once", one_hot_products,
         ("N = np.eye(V)[neg].sum(axis=1)", "N = np.eye(V)[neg].max(axis=1)")),
    Slip("bias left out of the scores", one_hot_products, ("scores = h @ U.T + c", "scores = h @ U.T")),
    Slip("output table's gradient divided by the batch a second time", one_hot_products,
         ("dU = G.T @ h + 2 * DECAY * U", "dU = (G.T @ h + 2 * DECAY * U) / len(pos)")),
    Slip("bias summed over positives alone and penalty without its two", one_hot_products,
         ("dc = G.sum(axis=0)", "dc = (P * (p - 1)).sum(axis=0) / len(pos)"),
         ("dU = G.T @ h + 2 * DECAY * U", "dU = G.T @ h + DECAY * U")),
)
