"""Texts as bags of tokens: their embeddings summed, a relu layer, and a softmax over topics."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("E", "A", "a", "B", "b")


def data(rng, dtype):
    leaves = {"E": rng.normal(size=(8, 5)), "A": rng.normal(size=(5, 5)), "a": rng.normal(size=5),
              "B": rng.normal(size=(3, 5)), "b": rng.normal(size=3)}
    leaves = {name: value.astype(dtype) for name, value in leaves.items()}
    return {**leaves, "tokens": np.array([[1, 4, 1, 7], [0, 2, 6, 2], [5, 5, 5, 3], [7, 0, 1, 2], [3, 6, 4, 4],
                                          [2, 7, 0, 6]], dtype=np.int64),
            "topic": np.array([2, 0, 1, 1, 0, 2], dtype=np.int64)}


def loss(tokens, topic, E, A, a, B, b):
    words = E[tokens]
    bag = words.sum(axis=1)
    pre = bag @ A.T + a
    hid = np.maximum(pre, 0)
    out = hid @ B.T + b
    norm = ad.logsumexp(out, axis=1)
    right = out[np.arange(6), topic]
    loss = (norm - right).mean()
    return loss


def batched(tokens, topic, E, A, a, B, b):
    n, length = tokens.shape
    bag = E[tokens].sum(axis=1)
    pre = bag @ A.T + a
    hid = np.maximum(pre, 0)
    out = hid @ B.T + b
    out = np.exp(out - out.max(axis=1, keepdims=True))
    probs = out / out.sum(axis=1, keepdims=True)
    g_out = probs.copy()
    g_out[np.arange(n), topic] -= 1
    g_out = g_out / n
    g_B = g_out.T @ hid
    g_b = g_out.sum(axis=0)
    g_hid = g_out @ B
    g_pre = g_hid * (pre > 0)
    g_A = g_pre.T @ bag
    g_a = g_pre.sum(axis=0)
    g_bag = g_pre @ A
    g_words = np.repeat(g_bag[:, None, :], length, axis=1)
    g_E = np.zeros_like(E)
    np.add.at(g_E, tokens, g_words)
    return {"E": g_E, "A": g_A, "a": g_a, "B": g_B, "b": g_b, "bag": g_bag, "words": g_words}


def text_by_text(tokens, topic, E, A, a, B, b):
    dE, dA, da = np.zeros_like(E), np.zeros_like(A), np.zeros_like(a)
    dB, db = np.zeros_like(B), np.zeros_like(b)
    for text, k in zip(tokens, topic, strict=True):
        s = np.zeros_like(a)
        for w in text:
            s += E[w]
        z = A @ s + a
        h = z * (z > 0)
        o = B @ h + b
        p = np.exp(o) / np.exp(o).sum()
        do = p
        do[k] -= 1
        do = do / len(topic)
        dB += do[:, None] * h[None, :]
        db += do
        dh = B.T @ do
        dz = np.where(z > 0, dh, 0)
        dA += dz[:, None] * s[None, :]
        da += dz
        ds = A.T @ dz
        for w in text:
            dE[w] += ds
    return {"dE": dE, "dA": dA, "da": da, "dB": dB, "db": db}


def counted(tokens, topic, E, A, a, B, b):
    vocabulary, classes = len(E), len(b)
    C = (tokens[:, :, None] == np.arange(vocabulary)).sum(axis=1).astype(E.dtype)
    Y = (topic[:, None] == np.arange(classes)).astype(E.dtype)
    S = C @ E
    H = np.maximum(S @ A.T + a, 0)
    O = H @ B.T + b
    lse = np.log(np.exp(O).sum(axis=1, keepdims=True))
    D2 = (np.exp(O - lse) - Y) / len(Y)
    D1 = D2 @ B
    D1[H == 0] = 0
    return {
        "E": C.T @ D1 @ A,
        "A": D1.T @ S,
        "a": np.einsum("nh->h", D1),
        "B": D2.T @ H,
        "b": np.einsum("nk->k", D2),
        "loss": np.mean(lse[:, 0] - (Y * O).sum(axis=1)),
    }


RIGHT = (batched, text_by_text, counted)

SLIPS = (
    Slip("fancy index with plus equals loses repeated tokens", batched,
         ("np.add.at(g_E, tokens, g_words)", "g_E[tokens] += g_words"),
         label=label("scatter overwritten-accumulation", "E words tokens", "getitem")),
    Slip("bag treated as the mean of its words", batched,
         ("g_words = np.repeat(g_bag[:, None, :], length, axis=1)",
          "g_words = np.repeat(g_bag[:, None, :], length, axis=1) / length"),
         label=label("scale", "bag words E", "sum getitem")),
    Slip("relu's mask from the gradient", batched, ("g_pre = g_hid * (pre > 0)", "g_pre = g_hid * (g_hid > 0)"),
         label=label("wrong-argument wrong-local-rule", "pre hid", "maximum")),
    Slip("relu itself in place of its mask", batched, ("g_pre = g_hid * (pre > 0)", "g_pre = g_hid * hid"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "pre hid", "maximum")),
    Slip("A transposed once too often on the way to the bag", batched, ("g_bag = g_pre @ A", "g_bag = g_pre @ A.T"),
         label=label("missing-transpose", "bag A pre", "matmul transpose")),
    Slip("A's gradient laid out as inputs times outputs", batched, ("g_A = g_pre.T @ bag", "g_A = bag.T @ g_pre"),
         label=label("transposed-result missing-transpose", "A", "matmul transpose")),
    Slip("topic's one not subtracted", batched, ("g_out[np.arange(n), topic] -= 1", ""),
         label=label("dropped-path missing-term", "right out topic loss", "getitem subtract")),
    Slip("number of classes in the mean", batched, ("g_out = g_out / n", "g_out = g_out / g_out.shape[1]"),
         label=label("scale", "loss out norm right", "mean subtract")),
    Slip("A with only the last word of the text", text_by_text,
         ("dA += dz[:, None] * s[None, :]", "dA += dz[:, None] * E[w][None, :]"),
         label=label("wrong-operand stale-value dropped-path", "A bag words E", "matmul sum")),
    Slip("relu's gate missing in the weight A, bias a and words", text_by_text,
         ("dz = np.where(z > 0, dh, 0)", "dz = dh"),
         label=label("missing-local-derivative", "pre hid", "maximum")),
    Slip("bias a before the relu's gate", text_by_text, ("da += dz", "da += dh"),
         label=label("missing-local-derivative wrong-operand stale-value", "a pre hid", "add maximum")),
    Slip("a token only counted once per text", text_by_text, ("dE[w] += ds", "dE[w] += ds / (text == w).sum()"),
         label=label("scatter dropped-path overwritten-accumulation scale", "E words tokens bag", "getitem sum")),
    Slip("gradient ascent sign for B only", text_by_text,
         ("dB += do[:, None] * h[None, :]", "dB -= do[:, None] * h[None, :]"),
         label=label("sign", "B out hid", "matmul transpose")),
    Slip("probabilities multiplied on once more after the difference", text_by_text,
         ("do = do / len(topic)", "do = do * np.exp(o) / np.exp(o).sum() / len(topic)"),
         label=label("double-derivative wrong-local-rule", "out norm right", "logsumexp getitem")),
    Slip("presence instead of counts for embeddings", counted,
         ('"E": C.T @ D1 @ A,', '"E": (C > 0).T @ D1 @ A,'),
         label=label("scatter overwritten-accumulation dropped-path", "E words tokens bag", "getitem sum")),
    Slip("embeddings' gradient ends before A", counted, ('"E": C.T @ D1 @ A,', '"E": C.T @ D1,'),
         label=label("missing-local-derivative wrong-operand", "bag A pre E", "matmul")),
    Slip("wrong side of the relu cleared", counted, ("D1[H == 0] = 0", "D1[H > 0] = 0"),
         label=label("wrong-local-rule wrong-argument", "pre hid", "maximum")),
    Slip("log-sum-exp over texts rather than classes", counted,
         ("lse = np.log(np.exp(O).sum(axis=1, keepdims=True))",
          "lse = np.log(np.exp(O).sum(axis=0, keepdims=True))"),
         ('"loss": np.mean(lse[:, 0] - (Y * O).sum(axis=1)),', ""),
         label=label("wrong-axis softmax-diagonal", "norm out", "logsumexp")),
    Slip("bias b by mean and B with the other sign", counted,
         ('"b": np.einsum("nk->k", D2),', '"b": D2.mean(axis=0),'), ('"B": D2.T @ H,', '"B": -D2.T @ H,'),
         label=label("two", "b B out hid", "add matmul transpose")),
)
