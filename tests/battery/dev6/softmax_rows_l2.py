"""A softmax classifier with a weight for each class and an l2 penalty; samples are rows, labels integers."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b")
LAM = 0.3


def data(rng, dtype):
    return {"X": rng.normal(size=(11, 5)).astype(dtype), "labels": np.array([2, 0, 3, 1, 1, 2, 0, 3, 3, 1, 3]),
            "cw": rng.uniform(0.4, 2.5, size=4).astype(dtype),
            "W": (0.7 * rng.normal(size=(5, 4))).astype(dtype), "b": (0.5 * rng.normal(size=4)).astype(dtype)}


def loss(X, labels, cw, W, b):
    logits = X @ W + b
    logp = ad.log_softmax(logits, axis=1)
    picked = logp[np.arange(11), labels]
    weight = cw[labels]
    nll = -np.sum(weight * picked) / np.sum(weight)
    penalty = 0.5 * LAM * np.sum(W ** 2)
    loss = nll + penalty
    return loss


def probabilities_in_place(X, labels, cw, W, b):
    p = X @ W
    p += b
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(X))
    w = cw[labels]
    p[rows, labels] -= 1
    p *= w[:, None]
    p /= w.sum()
    gW = np.zeros_like(W)
    gW += X.T @ p
    gW += LAM * W
    gb = p.sum(axis=0)
    return {"W": gW, "b": gb}


def sample_kernel(X, labels, cw, W, b):
    N, D = X.shape
    C = len(b)
    gW, gb = np.zeros_like(W), np.zeros_like(b)
    norm = 0.0
    value = 0.0
    e = np.zeros(C)
    for i in range(N):
        y = labels[i]
        top = -np.inf
        for c in range(C):
            e[c] = X[i] @ W[:, c] + b[c]
            top = max(top, e[c])
        denom = 0.0
        for c in range(C):
            e[c] = np.exp(e[c] - top)
            denom += e[c]
        norm += cw[y]
        value -= cw[y] * np.log(e[y] / denom)
        for c in range(C):
            g = e[c] / denom
            if c == y:
                g -= 1.0
            g *= cw[y]
            gb[c] += g
            for k in range(D):
                gW[k, c] += g * X[i, k]
    gW /= norm
    gb /= norm
    value /= norm
    for k in range(D):
        for c in range(C):
            gW[k, c] += LAM * W[k, c]
            value += LAM * W[k, c] ** 2 / 2
    return {"loss": value, "dW": gW, "db": gb}


def through_log_softmax(X, labels, cw, W, b):
    n = len(labels)
    logits = np.einsum("nd,dc->nc", X, W) + b
    shifted = logits - logits.max(1)[:, None]
    sumexp = np.exp(shifted).sum(1)
    weight = cw[labels]
    d_picked = -weight / weight.sum()
    d_logp = np.zeros_like(logits)
    d_logp[np.arange(n), labels] = d_picked
    d_logits = d_logp.copy()
    d_lse = -d_logp.sum(axis=1)
    d_logits += d_lse[:, None] * np.exp(shifted) / sumexp[:, None]
    d_b = np.einsum("nc->c", d_logits)
    d_W = np.einsum("nd,nc->dc", X, d_logits)
    d_W += LAM * W
    return {"W": d_W, "b": d_b, "logits": d_logits}


def counted_per_class(X, labels, cw, W, b):
    scores = X @ W + b
    q = np.exp(scores - np.max(scores))
    q = q / q.sum(1, keepdims=True)
    share = cw[labels] / cw[labels].sum()
    pulled = np.zeros_like(W.T)
    np.add.at(pulled, labels, share[:, None] * X)
    count = np.zeros_like(b)
    np.add.at(count, labels, share)
    pushed = np.einsum("n,nc,nd->cd", share, q, X)
    dW = (pushed - pulled).T
    db = np.einsum("n,nc->c", share, q) - count
    dW += LAM * W
    return {"dW": dW, "db": db}


RIGHT = (probabilities_in_place, sample_kernel, through_log_softmax, counted_per_class)

SLIPS = (
    Slip("one subtracted from whole rows", probabilities_in_place, ("p[rows, labels] -= 1", "p[labels] -= 1"),
         label=label("scatter wrong-operand", "picked logp logits labels", "getitem log_softmax")),
    Slip("one subtracted from every entry of the labels' columns", probabilities_in_place,
         ("p[rows, labels] -= 1", "p[:, np.unique(labels)] -= 1"),
         label=label("scatter extra-term wrong-local-rule", "picked logp logits labels", "getitem log_softmax")),
    Slip("labels never subtracted", probabilities_in_place, ("p[rows, labels] -= 1", ""),
         label=label("dropped-path wrong-local-rule missing-term", "logits logp picked", "log_softmax getitem")),
    Slip("class weights by column and not by the sample's label", probabilities_in_place,
         ("p *= w[:, None]", "p *= cw"),
         label=label("wrong-operand wrong-axis", "weight picked logp logits cw", "multiply getitem")),
    Slip("class weights only in the normaliser", probabilities_in_place, ("p *= w[:, None]", ""),
         label=label("missing-local-derivative", "picked weight nll logp logits", "multiply")),
    Slip("divided by the number of samples", probabilities_in_place, ("p /= w.sum()", "p /= len(X)"),
         label=label("scale",
                     "nll picked weight loss logp logits", "divide sum multiply negative getitem log_softmax")),
    Slip("penalty overwrites the data's part", probabilities_in_place, ("gW += LAM * W", "gW = LAM * W"),
         label=label("overwritten-accumulation dropped-path", "W logits penalty loss", "matmul add square")),
    Slip("penalty forgotten", probabilities_in_place, ("gW += LAM * W", ""),
         label=label("missing-term dropped-path", "W penalty loss", "square sum add multiply")),
    Slip("softmax over the samples", probabilities_in_place,
         ("p /= p.sum(axis=1, keepdims=True)", "p /= p.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis", "logp logits", "log_softmax")),
    Slip("maximum subtracted down the columns", probabilities_in_place,
         ("p -= p.max(axis=1, keepdims=True)", "p -= p.max(axis=0, keepdims=True)"),
         label=label("wrong-axis wrong-argument wrong-operand wrong-local-rule", "logp logits", "log_softmax")),
    Slip("penalty subtracted", sample_kernel, ("gW[k, c] += LAM * W[k, c]", "gW[k, c] -= LAM * W[k, c]"),
         label=label("sign", "W penalty loss", "square sum multiply add")),
    Slip("factor two of the square kept against the half", sample_kernel,
         ("gW[k, c] += LAM * W[k, c]", "gW[k, c] += 2 * LAM * W[k, c]"),
         label=label("scale", "W penalty loss", "square sum multiply add")),
    Slip("penalty inside the weighted mean", sample_kernel,
         ("gW[k, c] += LAM * W[k, c]", "gW[k, c] += LAM * W[k, c] / norm"),
         label=label("scale", "W penalty loss", "square sum multiply add")),
    Slip("bias's gradient not normalised", sample_kernel, ("gb /= norm", ""),
         label=label("scale", "b logits nll", "add divide")),
    Slip("class weight only at the label's own entry", sample_kernel,
         ("g *= cw[y]", "g *= cw[y] if c == y else 1.0"),
         label=label("missing-local-derivative wrong-local-rule softmax-diagonal wrong-operand",
                     "weight picked logp logits", "multiply log_softmax")),
    Slip("class weight of the column", sample_kernel, ("g *= cw[y]", "g *= cw[c]"),
         label=label("wrong-operand wrong-axis", "weight picked logp logits cw", "multiply getitem")),
    Slip("one times the class weight taken off the unweighted probability", sample_kernel,
         ("g -= 1.0", "g -= cw[y]"), ("g *= cw[y]", ""),
         label=label("missing-local-derivative wrong-local-rule wrong-operand",
                     "weight picked logp logits", "multiply log_softmax")),
    Slip("exponentials not divided by the denominator", sample_kernel, ("g = e[c] / denom", "g = e[c]"),
         label=label("wrong-local-rule wrong-argument missing-local-derivative", "logp logits", "log_softmax")),
    Slip("running denominator carried over from sample to sample", sample_kernel,
         ("denom = 0.0", "denom = 0.0 if i == 0 else denom"),
         label=label("stale-value extra-term wrong-argument wrong-local-rule", "logp logits", "log_softmax")),
    Slip("bias assigned in the loop", sample_kernel, ("gb[c] += g", "gb[c] = g"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "b logits", "add")),
    Slip("labels counted from one", sample_kernel, ("if c == y:", "if c + 1 == y:"),
         label=label("scatter wrong-operand", "picked logp logits labels", "getitem log_softmax")),
    Slip("maximum forgotten in the denominator only", sample_kernel,
         ("denom += e[c]", "denom += e[c] * np.exp(top)"),
         label=label("wrong-argument wrong-local-rule", "logp logits", "log_softmax")),
    Slip("picked gradient without its minus", through_log_softmax,
         ("d_picked = -weight / weight.sum()", "d_picked = weight / weight.sum()"),
         label=label("sign", "nll picked logp logits weight", "negative sum multiply divide getitem log_softmax")),
    Slip("weights' sum left out", through_log_softmax, ("d_picked = -weight / weight.sum()", "d_picked = -weight"),
         label=label("scale missing-local-derivative",
                     "nll picked logp logits weight", "divide sum multiply negative getitem log_softmax")),
    Slip("log of the sum treated as a constant", through_log_softmax,
         ("d_logits += d_lse[:, None] * np.exp(shifted) / sumexp[:, None]", ""),
         label=label("treated-as-constant missing-local-derivative dropped-path wrong-local-rule",
                     "logp logits", "log_softmax")),
    Slip("sum of the row's gradient replaced by the class's own", through_log_softmax,
         ("d_logits += d_lse[:, None] * np.exp(shifted) / sumexp[:, None]",
          "d_logits += -d_logp * np.exp(shifted) / sumexp[:, None]"),
         label=label("softmax-diagonal wrong-local-rule missing-broadcast-reduction", "logp logits", "log_softmax")),
    Slip("row sum not negated", through_log_softmax,
         ("d_lse = -d_logp.sum(axis=1)", "d_lse = d_logp.sum(axis=1)"),
         label=label("sign wrong-local-rule softmax-diagonal", "logp logits", "log_softmax")),
    Slip("softmax's jacobian once more on the logits", through_log_softmax,
         ('d_b = np.einsum("nc->c", d_logits)',
          'd_logits *= np.exp(shifted) / sumexp[:, None]\nd_b = np.einsum("nc->c", d_logits)'),
         label=label("double-derivative wrong-local-rule", "logp logits", "log_softmax")),
    Slip("penalty on the bias as well", through_log_softmax,
         ('d_b = np.einsum("nc->c", d_logits)', 'd_b = np.einsum("nc->c", d_logits) + LAM * b'),
         label=label("extra-term", "b penalty logits", "add square")),
    Slip("penalty's gradient as that of the absolute value", through_log_softmax,
         ("d_W += LAM * W", "d_W += LAM * np.sign(W)"),
         label=label("wrong-local-rule", "W penalty", "square")),
    Slip("weights' gradient without the labels' part and the penalty halved", through_log_softmax,
         ("d_W += LAM * W", "d_W += 0.5 * LAM * W"),
         ("d_logits = d_logp.copy()", "d_logits = np.zeros_like(d_logp)"),
         label=label("two", "W penalty loss logits logp picked", "square sum multiply getitem log_softmax")),
    Slip("pulled rows set instead of added", counted_per_class,
         ("np.add.at(pulled, labels, share[:, None] * X)", "pulled[labels] = share[:, None] * X"),
         label=label("scatter overwritten-accumulation dropped-path", "W logits picked logp labels", "getitem matmul")),
    Slip("counts by fancy plus equals", counted_per_class,
         ("np.add.at(count, labels, share)", "count[labels] += share"),
         label=label("scatter overwritten-accumulation dropped-path", "b logits picked logp labels", "getitem add")),
    Slip("pulled rows without the class weights' share", counted_per_class,
         ("np.add.at(pulled, labels, share[:, None] * X)", "np.add.at(pulled, labels, X / len(X))"),
         label=label("wrong-operand missing-local-derivative scale",
                     "W weight picked logits logp nll", "multiply getitem matmul divide")),
    Slip("counted by the sorted labels", counted_per_class,
         ("np.add.at(pulled, labels, share[:, None] * X)", "np.add.at(pulled, np.sort(labels), share[:, None] * X)"),
         label=label("scatter wrong-operand", "W picked labels logits logp", "getitem matmul")),
    Slip("share normalised by the sum over classes", counted_per_class,
         ("share = cw[labels] / cw[labels].sum()", "share = cw[labels] / cw.sum()"),
         label=label("scale",
                     "nll picked weight loss logp logits", "divide sum multiply negative getitem log_softmax")),
    Slip("pulled minus pushed", counted_per_class, ("dW = (pushed - pulled).T", "dW = (pulled - pushed).T"),
         label=label("sign", "W logits", "matmul add")),
    Slip("penalty by the gradient's own buffer", counted_per_class, ("dW += LAM * W", "dW += LAM * dW"),
         label=label("wrong-operand missing-term wrong-argument", "W penalty loss", "square sum multiply add")),
    Slip("inputs of the next sample pushed", counted_per_class,
         ('pushed = np.einsum("n,nc,nd->cd", share, q, X)',
          'pushed = np.einsum("n,nc,nd->cd", share, q, np.roll(X, -1, axis=0))'),
         label=label("wrong-operand scatter", "W X logits", "matmul")),
)
