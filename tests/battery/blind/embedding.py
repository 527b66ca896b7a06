"""Words looked up, averaged and classified: softmax cross entropy with integer labels."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("E", "W", "b")


def data(rng, dtype):
    return {"tokens": rng.integers(0, 9, size=(7, 5)), "labels": rng.integers(0, 3, size=7),
            "E": rng.normal(size=(9, 4)).astype(dtype), "W": rng.normal(size=(4, 3)).astype(dtype),
            "b": rng.normal(size=3).astype(dtype)}


def loss(tokens, labels, E, W, b):
    emb = E[tokens]
    pooled = emb.mean(axis=1)
    logits = pooled @ W + b
    logp = ad.log_softmax(logits, axis=1)
    nll = -logp[np.arange(len(labels)), labels].mean()
    return nll


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def scatter_add(tokens, labels, E, W, b):
    N, L = tokens.shape
    emb = E[tokens]
    pooled = emb.mean(axis=1)
    logits = pooled @ W + b
    probs = softmax(logits)
    dlogits = probs.copy()
    dlogits[np.arange(N), labels] -= 1
    dlogits /= N
    dW = pooled.T @ dlogits
    db = dlogits.sum(axis=0)
    dpooled = dlogits @ W.T
    demb = np.repeat(dpooled[:, None, :] / L, L, axis=1)
    dE = np.zeros_like(E)
    np.add.at(dE, tokens, demb)
    return {"E": dE, "W": dW, "b": db, "logits": dlogits, "pooled": dpooled, "emb": demb}


def bag_of_words(tokens, labels, E, W, b):
    counts = np.stack([np.bincount(row, minlength=len(E)) for row in tokens]).astype(E.dtype)
    B = counts / counts.sum(axis=1, keepdims=True)
    Y = np.eye(len(b), dtype=b.dtype)[labels]
    M = B @ E
    G = (softmax(M @ W + b) - Y) / len(Y)
    gE = B.T @ G @ W.T
    gW = M.T @ G
    gb = G.sum(axis=0)
    return {"E": gE, "W": gW, "b": gb}


def word_by_word(tokens, labels, E, W, b):
    grad_E, grad_W, grad_b = np.zeros_like(E), np.zeros_like(W), np.zeros_like(b)
    for sentence, label in zip(tokens, labels):
        mean = sum(E[w] for w in sentence) / len(sentence)
        score = mean @ W + b
        score = score - score.max()
        p = np.exp(score) / np.exp(score).sum()
        delta = p.copy()
        delta[label] = p[label] - 1
        grad_b += delta
        grad_W += np.outer(mean, delta)
        grad_mean = W @ delta
        for w in sentence:
            grad_E[w] += grad_mean / len(sentence)
    grad_E /= len(labels)
    grad_W /= len(labels)
    grad_b /= len(labels)
    return {"dE": grad_E, "dW": grad_W, "db": grad_b}


def class_by_class(tokens, labels, E, W, b):
    m, n_words = tokens.shape
    h = np.mean(E[tokens], 1)
    q = np.exp(h @ W + b)
    q = q / np.sum(q, axis=-1, keepdims=True)
    e_W, e_b, e_h = np.empty_like(W), np.empty_like(b), np.zeros_like(h)
    for c in range(len(b)):
        residual = (q[:, c] - (labels == c)).astype(E.dtype)
        e_W[:, c] = h.T @ residual / m
        e_b[c] = residual.mean()
        e_h += np.outer(residual, W[:, c]) / m
    e_E = np.zeros_like(E)
    for pos in range(n_words):
        for i in range(m):
            e_E[tokens[i, pos]] += e_h[i] / n_words
    return {"E": e_E, "W": e_W, "b": e_b, "pooled": e_h}


RIGHT = (scatter_add, bag_of_words, word_by_word, class_by_class)

SLIPS = (
    Slip("fancy indexing with += so repeated tokens count once", scatter_add,
         ("np.add.at(dE, tokens, demb)", "dE[tokens] += demb")),
    Slip("plain assignment into the rows of E", scatter_add, ("np.add.at(dE, tokens, demb)", "dE[tokens] = demb")),
    Slip("forgot to divide by the sentence length", scatter_add,
         ("demb = np.repeat(dpooled[:, None, :] / L, L, axis=1)", "demb = np.repeat(dpooled[:, None, :], L, axis=1)")),
    Slip("divided by the batch size instead of the sentence length", scatter_add,
         ("demb = np.repeat(dpooled[:, None, :] / L, L, axis=1)",
          "demb = np.repeat(dpooled[:, None, :] / N, L, axis=1)")),
    Slip("forgot to divide by the batch size", scatter_add, ("dlogits /= N", "")),
    Slip("subtracted one from whole columns", scatter_add,
         ("dlogits[np.arange(N), labels] -= 1", "dlogits[:, labels] -= 1")),
    Slip("averaged the bias gradient over a batch that was already averaged", scatter_add,
         ("db = dlogits.sum(axis=0)", "db = dlogits.mean(axis=0)")),
    Slip("multiplied the cross entropy gradient by p (1 - p) as well", scatter_add,
         ("dlogits /= N", "dlogits *= probs * (1 - probs) / N")),
    Slip("took token 0 for padding and zeroed its row", scatter_add,
         ("np.add.at(dE, tokens, demb)", "np.add.at(dE, tokens, demb)\ndE[0] = 0")),
    Slip("W's gradient from the first word of each sentence instead of the mean", scatter_add,
         ("dW = pooled.T @ dlogits", "dW = emb[:, 0].T @ dlogits")),
    Slip("whether a word occurs instead of how often", bag_of_words,
         ("gE = B.T @ G @ W.T", "gE = ((counts > 0) / tokens.shape[1]).T.astype(E.dtype) @ G @ W.T")),
    Slip("normalised the counts over the batch instead of the sentence", bag_of_words,
         ("B = counts / counts.sum(axis=1, keepdims=True)",
          "B = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)")),
    Slip("target minus prediction", bag_of_words,
         ("G = (softmax(M @ W + b) - Y) / len(Y)", "G = (Y - softmax(M @ W + b)) / len(Y)")),
    Slip("L2 penalty in the gradient of W, which the loss has not", bag_of_words,
         ("gW = M.T @ G", "gW = M.T @ G + 2 * 0.05 * W")),
    Slip("forgot the bias in the scores", bag_of_words,
         ("G = (softmax(M @ W + b) - Y) / len(Y)", "G = (softmax(M @ W) - Y) / len(Y)")),
    Slip("looped over the set of words of the sentence", word_by_word,
         ("for w in sentence:", "for w in set(sentence):")),
    Slip("gradient at the true class is p instead of p - 1", word_by_word,
         ("delta[label] = p[label] - 1", "delta[label] = p[label]")),
    Slip("one over p: the derivative of the log without the softmax", word_by_word,
         ("delta[label] = p[label] - 1", "delta = np.zeros_like(p)\ndelta[label] = -1 / p[label]")),
    Slip("divided E's gradient by the batch size inside the loop and again at the end", word_by_word,
         ("grad_E[w] += grad_mean / len(sentence)", "grad_E[w] += grad_mean / len(sentence) / len(labels)")),
    Slip("forgot to average W's gradient, the others are", word_by_word, ("grad_W /= len(labels)", "")),
    Slip("only the last class reaches the pooled vector", class_by_class,
         ("e_h += np.outer(residual, W[:, c]) / m", "e_h = np.outer(residual, W[:, c]) / m")),
    Slip("the last word of every sentence left out", class_by_class,
         ("for pos in range(n_words):", "for pos in range(n_words - 1):")),
    Slip("used the first example's gradient for all and forgot the batch mean in b", class_by_class,
         ("e_E[tokens[i, pos]] += e_h[i] / n_words", "e_E[tokens[i, pos]] += e_h[0] / n_words"),
         ("e_b[c] = residual.mean()", "e_b[c] = residual.sum()")),
)
