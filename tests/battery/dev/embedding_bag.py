"""The average of the embeddings of a few tokens, some of them twice, classified; labels are numbers."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("E", "W", "b")


def data(rng, dtype):
    ids = rng.integers(7, size=(4, 5))
    ids[:, 3] = ids[:, 0]
    ids[2, 1] = ids[0, 0]
    return {"ids": ids, "labels": np.array([0, 2, 1, 2]), "E": rng.normal(size=(7, 3)).astype(dtype),
            "W": rng.normal(size=(3, 3)).astype(dtype), "b": (0.5 * rng.normal(size=3)).astype(dtype)}


def loss(ids, labels, E, W, b):
    tokens = E[ids]
    v = tokens.mean(axis=1)
    z = v @ W + b
    logp = z - ad.logsumexp(z, axis=1, keepdims=True)
    picked = logp[np.arange(len(labels)), labels]
    loss = -picked.mean()
    return loss


def with_add_at(ids, labels, E, W, b):
    m, n = ids.shape
    v = E[ids].mean(axis=1)
    z = v @ W + b
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dz = p.copy()
    dz[np.arange(m), labels] -= 1
    dz = dz / m
    dW = v.T @ dz
    db = dz.sum(axis=0)
    dv = dz @ W.T
    dtokens = np.repeat(dv[:, None] / n, n, axis=1)
    dE = np.zeros_like(E)
    np.add.at(dE, ids, dtokens)
    return {"E": dE, "W": dW, "b": db}


def token_by_token(ids, labels, E, W, b):
    m, n = ids.shape
    dE, dW, db = np.zeros(E.shape), np.zeros(W.shape), np.zeros(b.shape)
    for i in range(m):
        v = sum(E[j] for j in ids[i]) / n
        score = np.exp(v @ W + b)
        d = score / score.sum() - np.eye(len(b))[labels[i]]
        d = d / m
        dW += np.outer(v, d)
        db += d
        dv = W @ d
        for j in ids[i]:
            dE[j] += dv / n
    return {"E": dE, "W": dW, "b": db}


def with_counts(ids, labels, E, W, b):
    counts = (ids[:, :, None] == np.arange(len(E))).sum(axis=1) / ids.shape[1]
    Z = counts @ E @ W + b
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = P / P.sum(axis=1, keepdims=True)
    D = (P - np.eye(len(b))[labels]) / len(labels)
    gE = counts.T @ D @ W.T
    gW = (counts @ E).T @ D
    return {"E": gE, "W": gW, "b": D.sum(axis=0)}


RIGHT = (with_add_at, token_by_token, with_counts)

SLIPS = (
    Slip("repeated tokens counted once", with_add_at, ("np.add.at(dE, ids, dtokens)", "dE[ids] += dtokens")),
    Slip("rows assigned, not added", with_add_at, ("np.add.at(dE, ids, dtokens)", "dE[ids] = dtokens")),
    Slip("rows off by one", with_add_at, ("np.add.at(dE, ids, dtokens)", "np.add.at(dE, (ids + 1) % len(E), dtokens)")),
    Slip("first token only", with_add_at, ("np.add.at(dE, ids, dtokens)", "np.add.at(dE, ids[:, 0], dtokens[:, 0])")),
    Slip("the mean is a sum", with_add_at, ("dtokens = np.repeat(dv[:, None] / n, n, axis=1)",
                                            "dtokens = np.repeat(dv[:, None], n, axis=1)")),
    Slip("divided by the samples instead of the tokens", with_add_at,
         ("dtokens = np.repeat(dv[:, None] / n, n, axis=1)", "dtokens = np.repeat(dv[:, None] / m, n, axis=1)")),
    Slip("the picked class forgotten", with_add_at, ("dz[np.arange(m), labels] -= 1", "")),
    Slip("plus one at the picked class", with_add_at,
         ("dz[np.arange(m), labels] -= 1", "dz[np.arange(m), labels] += 1")),
    Slip("one off in the first class always", with_add_at, ("dz[np.arange(m), labels] -= 1", "dz[:, 0] -= 1")),
    Slip("W not transposed", with_add_at, ("dv = dz @ W.T", "dv = dz @ W")),
    Slip("b summed over the classes", with_add_at, ("db = dz.sum(axis=0)", "db = dz.sum(axis=1)")),
    Slip("first sample's b", with_add_at, ("db = dz.sum(axis=0)", "db = dz[0]")),
    Slip("row overwritten by each token", token_by_token, ("dE[j] += dv / n", "dE[j] = dv / n")),
    Slip("W transposed in the loop", token_by_token, ("dW += np.outer(v, d)", "dW += np.outer(d, v)")),
    Slip("only the last token", token_by_token, ("for j in ids[i]:", "for j in ids[i, -1:]:")),
    Slip("the bag is a set", with_counts, ("gE = counts.T @ D @ W.T", "gE = (counts > 0).T @ D @ W.T / ids.shape[1]")),
    Slip("W with its factors exchanged", with_counts, ("gW = (counts @ E).T @ D", "gW = D.T @ (counts @ E)")),
    Slip("labels minus probabilities, and summed", with_counts,
         ("D = (P - np.eye(len(b))[labels]) / len(labels)", "D = np.eye(len(b))[labels] - P")),
)
