"""A bag of words: embeddings of the real tokens averaged, scaled to about unit length, then classified."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("E", "W", "b")
TINY = 0.1


def data(rng, dtype):
    tokens = np.array([[3, 1, 3, 8, 0, 0], [5, 2, 7, 1, 4, 6], [8, 8, 1, 0, 0, 0], [2, 6, 3, 3, 2, 0],
                       [7, 4, 0, 0, 0, 0], [1, 5, 5, 6, 0, 0], [4, 8, 2, 0, 0, 0]])
    return {"E": rng.normal(size=(9, 5)).astype(dtype), "W": rng.normal(size=(3, 5)).astype(dtype),
            "b": rng.normal(size=3).astype(dtype), "tokens": tokens, "mask": (tokens > 0).astype(dtype),
            "label": np.array([2, 0, 1, 1, 0, 2, 2])}


def loss(E, W, b, tokens, mask, label):
    vectors = E[tokens]
    kept = vectors * mask[:, :, None]
    length = np.sum(mask, axis=1, keepdims=True)
    mean = np.sum(kept, axis=1) / length
    norm = np.sqrt(np.sum(mean ** 2, axis=1, keepdims=True) + TINY)
    unit = mean / norm
    logits = unit @ W.T + b
    logp = logits - ad.logsumexp(logits, axis=1, keepdims=True)
    picked = logp[np.arange(7), label]
    nll = -np.mean(picked)
    return nll


def probabilities(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def add_at(E, W, b, tokens, mask, label):
    n = len(label)
    length = mask.sum(1, keepdims=True)
    mean = np.einsum("nt,ntd->nd", mask, E[tokens]) / length
    norm = np.sqrt((mean ** 2).sum(1, keepdims=True) + TINY)
    u = mean / norm
    d_logits = probabilities(u @ W.T + b)
    d_logits[np.arange(n), label] -= 1
    d_logits /= n
    dW = d_logits.T @ u
    db = d_logits.sum(axis=0)
    du = d_logits @ W
    dmean = (du - u * (u * du).sum(1, keepdims=True)) / norm
    dvec = (dmean / length)[:, None, :] * mask[:, :, None]
    dE = np.zeros_like(E)
    np.add.at(dE, tokens, dvec)
    return {"E": dE, "W": dW, "b": db}


def every_gradient(E, W, b, tokens, mask, label):
    N, L = tokens.shape
    vectors = E[tokens]
    kept = vectors * mask[:, :, np.newaxis]
    length = np.sum(mask, axis=1, keepdims=True)
    total = np.sum(kept, axis=1)
    mean = total / length
    square = np.sum(mean * mean, axis=1, keepdims=True)
    norm = np.sqrt(square + TINY)
    inverse = 1 / norm
    unit = mean * inverse
    logits = unit @ W.T + b
    prob = probabilities(logits)
    onehot = np.zeros_like(prob)
    onehot[np.arange(N), label] = 1

    dlogits = (prob - onehot) / N
    dW = dlogits.T @ unit
    db = np.sum(dlogits, axis=0)
    dunit = dlogits @ W
    dmean = dunit * inverse
    dinverse = np.sum(dunit * mean, axis=1, keepdims=True)
    dnorm = -dinverse / norm ** 2
    dsquare = dnorm / (2 * norm)
    dmean = dmean + 2 * mean * dsquare
    dtotal = dmean / length
    dkept = np.repeat(dtotal[:, np.newaxis, :], L, axis=1)
    dvectors = dkept * mask[:, :, np.newaxis]
    dE = np.zeros_like(E)
    for i in range(N):
        for j in range(L):
            dE[tokens[i, j]] += dvectors[i, j]
    return {"E": dE, "W": dW, "b": db, "logits": dlogits, "unit": dunit, "mean": dmean, "kept": dkept,
            "vectors": dvectors}


def text_by_text(E, W, b, tokens, mask, label):
    gE = np.zeros(E.shape)
    gW = np.zeros(W.shape)
    gb = np.zeros(b.shape)
    for words, real, k in zip(tokens, mask, label):
        words = words[real > 0]
        m = E[words].mean(axis=0)
        r = np.sqrt(m @ m + TINY)
        u = m / r
        delta = probabilities(W @ u + b)
        delta[k] -= 1
        gW += np.outer(delta, u)
        gb += delta
        back = W.T @ delta
        back = back / r - m * (m @ back) / r ** 3
        for w in words:
            gE[w] += back / len(words)
    batch = len(label)
    return {"E": gE / batch, "W": gW / batch, "b": gb / batch}


def count_matrix(E, W, b, tokens, mask, label):
    V, D = E.shape
    N = tokens.shape[0]
    counts = np.zeros((N, V))
    np.add.at(counts, (np.arange(N)[:, None], tokens), mask)
    bag = counts / counts.sum(axis=1, keepdims=True)
    M = bag @ E
    R = 1 / np.sqrt(np.einsum("nd,nd->n", M, M) + TINY)
    U = R[:, None] * M
    G = (probabilities(U @ W.T + b) - np.eye(len(b))[label]) / N
    GU = G @ W
    inner = np.einsum("nd,nd->n", M, GU)
    GM = R[:, None] * GU - (R ** 3 * inner)[:, None] * M
    return {"dE": bag.T @ GM, "dW": np.einsum("nc,nd->cd", G, U), "db": np.einsum("nc->c", G)}


RIGHT = (add_at, every_gradient, text_by_text, count_matrix)

SLIPS = (
    Slip("repeated tokens counted once by fancy indexing", add_at,
         ("np.add.at(dE, tokens, dvec)", "dE[tokens] += dvec"),
         label=label("scatter overwritten-accumulation", "E vectors tokens", "getitem")),
    Slip("padding gets its share too", add_at,
         ("dvec = (dmean / length)[:, None, :] * mask[:, :, None]",
          "dvec = np.repeat((dmean / length)[:, None, :], mask.shape[1], axis=1)"),
         label=label("missing-local-derivative extra-term", "vectors kept mask E", "multiply")),
    Slip("not divided by the length", add_at,
         ("dvec = (dmean / length)[:, None, :] * mask[:, :, None]", "dvec = dmean[:, None, :] * mask[:, :, None]"),
         label=label("missing-local-derivative scale", "mean kept vectors length E", "divide sum multiply getitem")),
    Slip("divided by the padded length", add_at,
         ("dvec = (dmean / length)[:, None, :] * mask[:, :, None]",
          "dvec = (dmean / tokens.shape[1])[:, None, :] * mask[:, :, None]"),
         label=label("scale wrong-operand", "mean kept vectors length E", "divide sum multiply getitem")),
    Slip("norm treated as a constant", add_at,
         ("dmean = (du - u * (u * du).sum(1, keepdims=True)) / norm", "dmean = du / norm"),
         label=label("treated-as-constant dropped-path", "mean norm unit", "divide sqrt square")),
    Slip("norm not divided out of the projection", add_at,
         ("dmean = (du - u * (u * du).sum(1, keepdims=True)) / norm",
          "dmean = du - u * (u * du).sum(1, keepdims=True)"),
         label=label("missing-local-derivative scale wrong-local-rule", "mean unit norm", "divide")),
    Slip("projection on the mean instead of the unit vector", add_at,
         ("dmean = (du - u * (u * du).sum(1, keepdims=True)) / norm",
          "dmean = (du - mean * (mean * du).sum(1, keepdims=True)) / norm"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "mean unit norm", "divide sqrt square")),
    Slip("inner product taken over the batch", add_at,
         ("dmean = (du - u * (u * du).sum(1, keepdims=True)) / norm",
          "dmean = (du - u * (u * du).sum(0, keepdims=True)) / norm"),
         label=label("wrong-axis", "mean norm unit", "divide sum square sqrt")),
    Slip("one subtracted in every row at every label's column", add_at,
         ("d_logits[np.arange(n), label] -= 1", "d_logits[:, label] -= 1"),
         label=label("scatter wrong-local-rule extra-term", "logits logp picked", "getitem subtract")),
    Slip("mean over the batch forgotten", add_at, ("d_logits /= n", ""),
         label=label("scale", "logits logp picked nll", "mean negative getitem subtract")),
    Slip("W's gradient with the mean before scaling", add_at, ("dW = d_logits.T @ u", "dW = d_logits.T @ mean"),
         label=label("wrong-operand stale-value", "W logits", "matmul transpose")),
    Slip("average in the forward over padding too", add_at,
         ("length = mask.sum(1, keepdims=True)", "length = np.full((n, 1), tokens.shape[1])"),
         label=label("wrong-operand scale wrong-argument", "length mean kept", "divide sum")),
    Slip("sign of one over norm", every_gradient,
         ("dnorm = -dinverse / norm ** 2", "dnorm = dinverse / norm ** 2"),
         label=label("sign", "norm mean unit", "divide sqrt add sum square")),
    Slip("norm not squared in the derivative of one over it", every_gradient,
         ("dnorm = -dinverse / norm ** 2", "dnorm = -dinverse / norm"),
         label=label("wrong-local-rule", "norm mean unit", "divide")),
    Slip("root differentiated without its half", every_gradient,
         ("dsquare = dnorm / (2 * norm)", "dsquare = dnorm / norm"),
         label=label("scale wrong-local-rule", "norm mean unit", "sqrt add sum square divide")),
    Slip("norm's path overwrites the direct one", every_gradient,
         ("dmean = dmean + 2 * mean * dsquare", "dmean = 2 * mean * dsquare"),
         label=label("overwritten-accumulation dropped-path", "mean unit norm", "divide square")),
    Slip("inverse norm meets the unit vector", every_gradient,
         ("dinverse = np.sum(dunit * mean, axis=1, keepdims=True)",
          "dinverse = np.sum(dunit * unit, axis=1, keepdims=True)"),
         label=label("wrong-operand wrong-local-rule", "norm mean unit", "divide")),
    Slip("inverse norm averaged over the components", every_gradient,
         ("dinverse = np.sum(dunit * mean, axis=1, keepdims=True)",
          "dinverse = np.mean(dunit * mean, axis=1, keepdims=True)"),
         label=label("scale", "norm mean unit", "divide sum sqrt add square")),
    Slip("square's own argument forgotten", every_gradient,
         ("dmean = dmean + 2 * mean * dsquare", "dmean = dmean + 2 * dsquare"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "mean norm", "square")),
    Slip("embedding rows assigned", every_gradient,
         ("dE[tokens[i, j]] += dvectors[i, j]", "dE[tokens[i, j]] = dvectors[i, j]"),
         label=label("scatter overwritten-accumulation", "E vectors tokens", "getitem")),
    Slip("rows addressed by position instead of token", every_gradient,
         ("dE[tokens[i, j]] += dvectors[i, j]", "dE[j] += dvectors[i, j]"),
         label=label("scatter wrong-operand", "E vectors tokens", "getitem")),
    Slip("mask left out", every_gradient,
         ("dvectors = dkept * mask[:, :, np.newaxis]", "dvectors = dkept"),
         label=label("missing-local-derivative extra-term", "vectors kept mask E", "multiply")),
    Slip("tiny number left out of the root", text_by_text, ("r = np.sqrt(m @ m + TINY)", "r = np.sqrt(m @ m)"),
         label=label("wrong-argument missing-term wrong-local-rule", "norm mean unit", "sqrt add divide")),
    Slip("tiny number after the root", text_by_text, ("r = np.sqrt(m @ m + TINY)", "r = np.sqrt(m @ m) + TINY"),
         label=label("wrong-argument wrong-local-rule", "norm mean unit", "sqrt add divide")),
    Slip("repeated words of a text taken once", text_by_text, ("for w in words:", "for w in set(words):"),
         label=label("scatter dropped-path overwritten-accumulation", "E vectors tokens", "getitem")),
    Slip("row of the word set", text_by_text, ("gE[w] += back / len(words)", "gE[w] = back / len(words)"),
         label=label("scatter overwritten-accumulation", "E vectors tokens", "getitem")),
    Slip("label's one left where it is", text_by_text, ("delta[k] -= 1", ""),
         label=label("dropped-path wrong-local-rule missing-term wrong-argument",
                     "logits logp picked", "getitem subtract logsumexp")),
    Slip("one minus the probability at the label only", text_by_text,
         ("delta[k] -= 1", "delta[k] = 1 - delta[k]"),
         label=label("sign wrong-local-rule", "logits logp picked", "getitem subtract logsumexp")),
    Slip("second power in the norm's part", text_by_text,
         ("back = back / r - m * (m @ back) / r ** 3", "back = back / r - m * (m @ back) / r ** 2"),
         label=label("wrong-local-rule", "norm mean unit", "divide sqrt")),
    Slip("norm's part added", text_by_text,
         ("back = back / r - m * (m @ back) / r ** 3", "back = back / r + m * (m @ back) / r ** 3"),
         label=label("sign", "norm mean unit", "divide sqrt add sum square")),
    Slip("classifier trained on the sum over texts", text_by_text,
         ('return {"E": gE / batch, "W": gW / batch, "b": gb / batch}',
          'return {"E": gE / batch, "W": gW, "b": gb}'),
         label=label("scale", "W b logits", "matmul add transpose")),
    Slip("every real word one in the matrix", count_matrix,
         ("np.add.at(counts, (np.arange(N)[:, None], tokens), mask)", "counts[np.arange(N)[:, None], tokens] = mask"),
         label=label("scatter overwritten-accumulation", "E vectors kept mean length tokens", "getitem sum divide")),
    Slip("counts not divided by the length going back", count_matrix,
         ('return {"dE": bag.T @ GM, "dW": np.einsum("nc,nd->cd", G, U), "db": np.einsum("nc->c", G)}',
          'return {"dE": counts.T @ GM, "dW": np.einsum("nc,nd->cd", G, U), "db": np.einsum("nc->c", G)}'),
         label=label("scale missing-local-derivative wrong-operand",
                     "mean kept vectors length E", "divide sum multiply getitem")),
    Slip("norm forgotten at the direct part, and b by the mean", count_matrix,
         ("GM = R[:, None] * GU - (R ** 3 * inner)[:, None] * M", "GM = GU - (R ** 3 * inner)[:, None] * M"),
         ('return {"dE": bag.T @ GM, "dW": np.einsum("nc,nd->cd", G, U), "db": np.einsum("nc->c", G)}',
          'return {"dE": bag.T @ GM, "dW": np.einsum("nc,nd->cd", G, U), "db": G.mean(axis=0)}'),
         label=label("two", "mean unit norm b logits", "divide add")),
    Slip("target minus probability", count_matrix,
         ("G = (probabilities(U @ W.T + b) - np.eye(len(b))[label]) / N",
          "G = (np.eye(len(b))[label] - probabilities(U @ W.T + b)) / N"),
         label=label("sign", "logits logp picked nll", "mean negative getitem subtract")),
    Slip("gradient of the unit vector used for the mean", count_matrix,
         ("GM = R[:, None] * GU - (R ** 3 * inner)[:, None] * M", "GM = GU"),
         label=label("missing-local-derivative treated-as-constant", "mean unit norm", "divide")),
)
