"""The next token from two before it: embeddings side by side, a tanh layer, and a table of bigrams beside that."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("E", "W1", "b1", "W2", "b2", "G")


def data(rng, dtype):
    return {"E": rng.normal(size=(8, 3)).astype(dtype), "W1": (0.5 * rng.normal(size=(6, 6))).astype(dtype),
            "b1": rng.normal(size=6).astype(dtype), "W2": rng.normal(size=(6, 8)).astype(dtype),
            "b2": rng.normal(size=8).astype(dtype), "G": rng.normal(size=(8, 8)).astype(dtype),
            "tokens": np.array([[0, 2], [2, 2], [2, 5], [5, 1], [1, 7], [7, 4], [4, 2], [2, 3], [3, 3], [3, 6]]),
            "target": np.array([2, 5, 1, 7, 4, 2, 3, 3, 6, 0])}


def loss(E, W1, b1, W2, b2, G, tokens, target):
    emb = E[tokens]
    cat = emb.reshape(10, 6)
    hpre = cat @ W1 + b1
    h = np.tanh(hpre)
    last = tokens[:, 1]
    logits = h @ W2 + b2 + G[last]
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    counts = np.exp(shifted)
    total = np.sum(counts, axis=1, keepdims=True)
    probs = counts / total
    logprobs = np.log(probs)
    nll = -logprobs[np.arange(10), target]
    loss = nll.mean()
    return loss


def softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def one_by_one_backwards(E, W1, b1, W2, b2, G, tokens, target):
    n = tokens.shape[0]
    emb = E[tokens]
    cat = emb.reshape(n, -1)
    hpre = cat @ W1 + b1
    h = np.tanh(hpre)
    logits = h @ W2 + b2 + G[tokens[:, 1]]
    shifted = logits - logits.max(1, keepdims=True)
    counts = np.exp(shifted)
    total = counts.sum(1, keepdims=True)
    total_inv = total ** -1
    probs = counts * total_inv

    dlogprobs = np.zeros_like(probs)
    dlogprobs[np.arange(n), target] = -1 / n
    dprobs = dlogprobs / probs
    dtotal_inv = (counts * dprobs).sum(1, keepdims=True)
    dcounts = total_inv * dprobs
    dtotal = -total ** -2 * dtotal_inv
    dcounts += np.ones_like(counts) * dtotal
    dshifted = counts * dcounts
    dlogits = dshifted.copy()
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dG = np.zeros_like(G)
    for i in range(n):
        dG[tokens[i, 1]] += dlogits[i]
    dhpre = (1 - h ** 2) * dh
    dcat = dhpre @ W1.T
    dW1 = cat.T @ dhpre
    db1 = dhpre.sum(0)
    demb = dcat.reshape(emb.shape)
    dE = np.zeros_like(E)
    for k in range(tokens.shape[0]):
        for j in range(tokens.shape[1]):
            dE[tokens[k, j]] += demb[k, j]
    return {"E": dE, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "G": dG, "h": dh, "hpre": dhpre, "cat": dcat}


def shortest(E, W1, b1, W2, b2, G, tokens, target):
    x = E[tokens].reshape(len(tokens), -1)
    h = np.tanh(x @ W1 + b1)
    d2 = softmax(h @ W2 + b2 + G[tokens[:, 1]])
    d2[np.arange(len(target)), target] -= 1
    d2 /= len(target)
    d1 = d2 @ W2.T * (1 - h * h)
    dx = (d1 @ W1.T).reshape(-1, 2, E.shape[1])
    dE, dG = np.zeros_like(E), np.zeros_like(G)
    np.add.at(dE, tokens[:, 0], dx[:, 0])
    np.add.at(dE, tokens[:, 1], dx[:, 1])
    np.add.at(dG, tokens[:, 1], d2)
    return {"E": dE, "W1": x.T @ d1, "b1": d1.sum(0), "W2": h.T @ d2, "b2": d2.sum(0), "G": dG}


def in_one_hot_vectors(E, W1, b1, W2, b2, G, tokens, target):
    m, vocab = tokens.shape[0], E.shape[0]
    dim = E.shape[1]
    X1 = np.eye(vocab)[tokens[:, 0]]
    X2 = np.eye(vocab)[tokens[:, 1]]
    Y = np.eye(vocab)[target]
    Wa, Wb = W1[:dim], W1[dim:]
    E1, E2 = X1 @ E, X2 @ E
    A1 = np.tanh(E1 @ Wa + E2 @ Wb + b1)
    Y_hat = softmax(A1 @ W2 + b2 + X2 @ G)
    dZ2 = (Y_hat - Y) / m
    dW2 = A1.T @ dZ2
    db2 = np.sum(dZ2, axis=0)
    dG = X2.T @ dZ2
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 - dA1 * A1 ** 2
    dWa = E1.T @ dZ1
    dWb = E2.T @ dZ1
    db1 = np.sum(dZ1, axis=0)
    dE1 = dZ1 @ Wa.T
    dE2 = dZ1 @ Wb.T
    dE = X1.T @ dE1 + X2.T @ dE2
    return {"dE": dE, "dW1": np.concatenate([dWa, dWb]), "db1": db1, "dW2": dW2, "db2": db2, "dG": dG}


def sample_after_sample(E, W1, b1, W2, b2, G, tokens, target):
    grads = {name: np.zeros_like(p) for name, p in
             (("E", E), ("W1", W1), ("b1", b1), ("W2", W2), ("b2", b2), ("G", G))}

    def forward(before, last):
        x = np.concatenate((E[before], E[last]))
        a = np.tanh(x @ W1 + b1)
        o = a @ W2 + b2 + G[last]
        e = np.exp(o - o.max())
        return x, a, e / e.sum()

    for (before, last), y in zip(tokens, target, strict=True):
        x, a, p = forward(before, last)
        grad_o = p.copy()
        grad_o[y] -= 1.0
        grads["W2"] += np.outer(a, grad_o)
        grads["b2"] += grad_o
        grads["G"][last] += grad_o
        grad_a = W2 @ grad_o
        grad_z = grad_a * (1 - a ** 2)
        grads["W1"] += np.outer(x, grad_z)
        grads["b1"] += grad_z
        grad_x = W1 @ grad_z
        grads["E"][before] += grad_x[:3]
        grads["E"][last] += grad_x[3:]
    for name in grads:
        grads[name] /= len(target)
    return grads


RIGHT = (one_by_one_backwards, shortest, in_one_hot_vectors, sample_after_sample)

SLIPS = (
    Slip("mean of the log probabilities forgotten", one_by_one_backwards,
         ("dlogprobs[np.arange(n), target] = -1 / n", "dlogprobs[np.arange(n), target] = -1"),
         label=label("scale", "loss logits shifted probs logprobs counts total nll",
                     "mean negative log divide exp sum getitem subtract")),
    Slip("counts' part through their total overwrites the direct one", one_by_one_backwards,
         ("dcounts += np.ones_like(counts) * dtotal", "dcounts = np.ones_like(counts) * dtotal"),
         label=label("overwritten-accumulation dropped-path softmax-diagonal", "counts probs total shifted logits",
                     "divide exp sum")),
    Slip("total's part of the counts forgotten", one_by_one_backwards,
         ("dcounts += np.ones_like(counts) * dtotal", ""),
         label=label("dropped-path treated-as-constant softmax-diagonal", "counts probs total shifted logits",
                     "divide exp sum")),
    Slip("no minus in the derivative of the reciprocal", one_by_one_backwards,
         ("dtotal = -total ** -2 * dtotal_inv", "dtotal = total ** -2 * dtotal_inv"),
         label=label("sign softmax-diagonal wrong-local-rule", "counts probs total", "divide sum")),
    Slip("power of the reciprocal's derivative one too few", one_by_one_backwards,
         ("dtotal = -total ** -2 * dtotal_inv", "dtotal = -total ** -1 * dtotal_inv"),
         label=label("wrong-local-rule", "counts probs total", "divide sum")),
    Slip("exp passed straight through", one_by_one_backwards,
         ("dshifted = counts * dcounts", "dshifted = dcounts"),
         label=label("missing-local-derivative", "shifted counts logits", "exp")),
    Slip("log differentiated as if its argument were the counts", one_by_one_backwards,
         ("dprobs = dlogprobs / probs", "dprobs = dlogprobs / counts"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "probs logprobs counts", "log")),
    Slip("preactivation squared in tanh's derivative", one_by_one_backwards,
         ("dhpre = (1 - h ** 2) * dh", "dhpre = (1 - hpre ** 2) * dh"),
         label=label("wrong-argument wrong-local-rule", "hpre h", "tanh")),
    Slip("repeated tokens overwrite each other in E", one_by_one_backwards,
         ("dE[tokens[k, j]] += demb[k, j]", "dE[tokens[k, j]] = demb[k, j]"),
         label=label("scatter overwritten-accumulation", "E emb tokens", "getitem")),
    Slip("embedding's gradient folded in the wrong order", one_by_one_backwards,
         ("demb = dcat.reshape(emb.shape)", "demb = dcat.reshape(n, 3, 2).transpose(0, 2, 1)"),
         label=label("wrong-axis scatter transposed-result wrong-local-rule", "emb cat E", "reshape getitem")),
    Slip("bigram rows under the token before last", one_by_one_backwards,
         ("dG[tokens[i, 1]] += dlogits[i]", "dG[tokens[i, 0]] += dlogits[i]"),
         label=label("scatter wrong-operand", "G last tokens logits", "getitem")),
    Slip("first bias from the gradient of h", one_by_one_backwards, ("db1 = dhpre.sum(0)", "db1 = dh.sum(0)"),
         label=label("missing-local-derivative wrong-operand", "b1 hpre h", "tanh add")),
    Slip("fancy index with plus equals for the bigrams", shortest,
         ("np.add.at(dG, tokens[:, 1], d2)", "dG[tokens[:, 1]] += d2"),
         label=label("scatter overwritten-accumulation", "G last tokens", "getitem")),
    Slip("last token's embedding gets no gradient", shortest, ("np.add.at(dE, tokens[:, 1], dx[:, 1])", ""),
         label=label("dropped-path scatter", "E emb tokens", "getitem")),
    Slip("both halves into the first token's rows", shortest,
         ("np.add.at(dE, tokens[:, 1], dx[:, 1])", "np.add.at(dE, tokens[:, 0], dx[:, 1])"),
         label=label("scatter wrong-operand", "E emb tokens", "getitem")),
    Slip("divided by the number of classes", shortest, ("d2 /= len(target)", "d2 /= d2.shape[1]"),
         label=label("scale", "loss logits shifted probs logprobs counts total nll",
                     "mean negative log divide exp sum getitem subtract")),
    Slip("target's one taken off after the mean", shortest,
         ("d2[np.arange(len(target)), target] -= 1", ""),
         ("d2 /= len(target)", "d2 /= len(target)\nd2[np.arange(len(target)), target] -= 1"),
         label=label("scale wrong-local-rule", "logits shifted probs logprobs counts total nll loss",
                     "log divide exp sum getitem subtract mean negative")),
    Slip("tanh's derivative left out", shortest,
         ("d1 = d2 @ W2.T * (1 - h * h)", "d1 = d2 @ W2.T"),
         label=label("missing-local-derivative", "hpre h", "tanh")),
    Slip("W1 not transposed", shortest,
         ("dx = (d1 @ W1.T).reshape(-1, 2, E.shape[1])", "dx = (d1 @ W1).reshape(-1, 2, E.shape[1])"),
         label=label("missing-transpose", "cat hpre W1", "matmul")),
    Slip("targets shifted by one place", in_one_hot_vectors,
         ("Y = np.eye(vocab)[target]", "Y = np.eye(vocab)[np.roll(target, 1)]"),
         label=label("wrong-operand scatter", "logits shifted probs logprobs counts total nll target", "getitem log")),
    Slip("halves of W1 the other way round", in_one_hot_vectors,
         ('return {"dE": dE, "dW1": np.concatenate([dWa, dWb]), "db1": db1, "dW2": dW2, "db2": db2, "dG": dG}',
          'return {"dE": dE, "dW1": np.concatenate([dWb, dWa]), "db1": db1, "dW2": dW2, "db2": db2, "dG": dG}'),
         label=label("swapped scatter", "W1 cat hpre", "matmul")),
    Slip("second half of W1 with the first embedding", in_one_hot_vectors,
         ("dWb = E2.T @ dZ1", "dWb = E1.T @ dZ1"),
         label=label("wrong-operand", "W1 cat emb hpre", "matmul")),
    Slip("both embeddings go back through the first half of W1", in_one_hot_vectors,
         ("dE2 = dZ1 @ Wb.T", "dE2 = dZ1 @ Wa.T"),
         label=label("wrong-operand", "W1 cat emb E hpre", "matmul")),
    Slip("softmax's own derivative on top of the cross entropy's", in_one_hot_vectors,
         ("dZ2 = (Y_hat - Y) / m", "dZ2 = (Y_hat - Y) * Y_hat * (1 - Y_hat) / m"),
         label=label("double-derivative", "logits shifted probs logprobs counts total nll",
                     "log divide exp sum getitem subtract")),
    Slip("sigmoid's derivative for tanh", in_one_hot_vectors,
         ("dZ1 = dA1 - dA1 * A1 ** 2", "dZ1 = dA1 * A1 * (1 - A1)"),
         label=label("wrong-local-rule", "hpre h", "tanh")),
    Slip("square of A1 forgotten", in_one_hot_vectors, ("dZ1 = dA1 - dA1 * A1 ** 2", "dZ1 = dA1 - dA1 * A1"),
         label=label("wrong-local-rule", "hpre h", "tanh")),
    Slip("bigram table transposed", in_one_hot_vectors, ("dG = X2.T @ dZ2", "dG = dZ2.T @ X2"),
         label=label("transposed-result missing-transpose", "G", "getitem")),
    Slip("probability's one added", sample_after_sample, ("grad_o[y] -= 1.0", "grad_o[y] += 1.0"),
         label=label("sign wrong-local-rule", "logits shifted probs logprobs counts total nll target",
                     "log divide exp sum getitem subtract negative")),
    Slip("bigram row set in the loop", sample_after_sample,
         ('grads["G"][last] += grad_o', 'grads["G"][last] = grad_o'),
         label=label("scatter overwritten-accumulation", "G last tokens", "getitem")),
    Slip("halves of the embeddings' gradient swapped", sample_after_sample,
         ('grads["E"][before] += grad_x[:3]', 'grads["E"][before] += grad_x[3:]'),
         ('grads["E"][last] += grad_x[3:]', 'grads["E"][last] += grad_x[:3]'),
         label=label("swapped scatter wrong-operand", "E emb cat tokens", "getitem reshape")),
    Slip("last token's row set, and hidden bias without tanh", sample_after_sample,
         ('grads["E"][last] += grad_x[3:]', 'grads["E"][last] = grad_x[3:]'),
         ('grads["b1"] += grad_z', 'grads["b1"] += grad_a'),
         label=label("two", "E emb tokens b1 hpre h", "getitem tanh add")),
    Slip("everything but the tables averaged", sample_after_sample,
         ("for name in grads:", 'for name in ("W1", "b1", "W2", "b2"):'),
         label=label("scale", "E G emb cat last", "getitem reshape")),
)
