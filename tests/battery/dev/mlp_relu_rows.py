"""Three layers, ReLU twice, binary cross entropy from the logits, samples in rows, averaged over the samples."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    return {"x": rng.normal(size=(9, 5)).astype(dtype), "y": (rng.random((9, 2)) < 0.5).astype(dtype),
            "W1": (0.6 * rng.normal(size=(5, 6))).astype(dtype), "b1": (0.6 * rng.normal(size=6)).astype(dtype),
            "W2": (0.5 * rng.normal(size=(6, 6))).astype(dtype), "b2": (0.4 * rng.normal(size=6)).astype(dtype),
            "W3": (0.6 * rng.normal(size=(6, 2))).astype(dtype), "b3": (0.5 * rng.normal(size=2) - 0.6).astype(dtype)}


def loss(x, y, W1, b1, W2, b2, W3, b3):
    z1 = x @ W1 + b1
    h1 = np.maximum(z1, 0)
    z2 = h1 @ W2 + b2
    h2 = np.maximum(z2, 0)
    z3 = h2 @ W3 + b3
    bce = np.logaddexp(0, z3) - y * z3
    loss = bce.sum(axis=1).mean()
    return loss


def rows(x, y, W1, b1, W2, b2, W3, b3):
    m = x.shape[0]
    z1 = x @ W1 + b1
    h1 = np.maximum(z1, 0)
    z2 = h1 @ W2 + b2
    h2 = np.maximum(z2, 0)
    z3 = h2 @ W3 + b3
    p = 1 / (1 + np.exp(-z3))
    dz3 = (p - y) / m
    dW3 = h2.T @ dz3
    db3 = dz3.sum(axis=0)
    dh2 = dz3 @ W3.T
    dz2 = dh2 * (z2 > 0)
    dW2 = h1.T @ dz2
    db2 = dz2.sum(axis=0)
    dh1 = dz2 @ W2.T
    dz1 = dh1 * (z1 > 0)
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def through_the_probability(x, y, W1, b1, W2, b2, W3, b3):
    n, _ = y.shape
    hidden1 = np.maximum(x @ W1 + b1, 0)
    hidden2 = np.maximum(hidden1 @ W2 + b2, 0)
    logits = hidden2 @ W3 + b3
    prob = 1 / (1 + np.exp(-logits))
    grad_prob = -y / prob + (1 - y) / (1 - prob)
    grad_logits = grad_prob * prob * (1 - prob) / n
    grad_W3 = np.einsum("nh,nk->hk", hidden2, grad_logits)
    grad_b3 = np.einsum("nk->k", grad_logits)
    grad_hidden2 = np.einsum("nk,hk->nh", grad_logits, W3)
    grad_pre2 = np.where(hidden2 > 0, grad_hidden2, 0)
    grad_W2 = np.einsum("nh,nk->hk", hidden1, grad_pre2)
    grad_b2 = np.einsum("nk->k", grad_pre2)
    grad_hidden1 = np.einsum("nk,hk->nh", grad_pre2, W2)
    grad_pre1 = np.where(hidden1 > 0, grad_hidden1, 0)
    grad_W1 = np.einsum("nh,nk->hk", x, grad_pre1)
    grad_b1 = np.einsum("nk->k", grad_pre1)
    return {"dW1": grad_W1, "db1": grad_b1, "dW2": grad_W2, "db2": grad_b2, "dW3": grad_W3, "db3": grad_b3}


def layer_by_layer(x, y, W1, b1, W2, b2, W3, b3):
    weights, biases = [W1, W2, W3], [b1, b2, b3]
    m = len(y)
    acts = [x]
    for k in range(3):
        s = acts[k] @ weights[k] + biases[k]
        acts.append(np.maximum(s, 0) if k < 2 else s)
    delta = 1 / (1 + np.exp(-acts[3])) - y
    grads = {"W1": np.zeros_like(W1), "b1": np.zeros_like(b1)}
    for k in range(2, -1, -1):
        grads[f"W{k + 1}"] = acts[k].T @ delta / m
        grads[f"b{k + 1}"] = delta.sum(axis=0) / m
        if k > 0:
            delta = delta @ weights[k].T * (acts[k] > 0)
    return grads


def sample_by_sample(x, y, W1, b1, W2, b2, W3, b3):
    m = len(x)
    H1 = np.maximum(x @ W1 + b1, 0)
    H2 = np.maximum(H1 @ W2 + b2, 0)
    P = 1 / (1 + np.exp(-(H2 @ W3 + b3)))
    gW1, gb1 = 0 * W1, 0 * b1
    gW2, gb2 = 0 * W2, 0 * b2
    gW3, gb3 = 0 * W3, 0 * b3
    for i in range(m):
        d3 = (P[i] - y[i]) / m
        d2 = (W3 @ d3) * (H2[i] > 0)
        d1 = (W2 @ d2) * (H1[i] > 0)
        gW3 = gW3 + np.outer(H2[i], d3)
        gW2 = gW2 + np.outer(H1[i], d2)
        gW1 = gW1 + np.outer(x[i], d1)
        gb3 = gb3 + d3
        gb2 = gb2 + d2
        gb1 = gb1 + d1
    return {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2, "W3": gW3, "b3": gb3}


def one_running_gradient(x, y, W1, b1, W2, b2, W3, b3):
    r1 = np.maximum(x @ W1 + b1, 0)
    r2 = np.maximum(r1 @ W2 + b2, 0)
    out = r2 @ W3 + b3
    g = np.exp(-np.logaddexp(0, -out)) - y
    g = g / len(g)
    gW3 = r2.T @ g
    gb3 = g.sum(0)
    g = g @ W3.T
    g[r2 == 0] = 0
    gW2 = r1.T @ g
    gb2 = g.sum(0)
    g = g @ W2.T
    g[r1 == 0] = 0
    gW1 = x.T @ g
    gb1 = g.sum(0)
    return {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2, "W3": gW3, "b3": gb3}


RIGHT = (rows, through_the_probability, layer_by_layer, sample_by_sample, one_running_gradient)

SLIPS = (
    Slip("the sigmoid was recomputed without its minus", rows,
         ("p = 1 / (1 + np.exp(-z3))", "p = 1 / (1 + np.exp(z3))")),
    Slip("m counts the entries of x, not its rows", rows, ("m = x.shape[0]", "m = x.size")),
    Slip("the mask of the first layer used again at the second", rows,
         ("dz2 = dh2 * (z2 > 0)", "dz2 = dh2 * (z1 > 0)")),
    Slip("masked where the gradient is negative, not where z2 is", rows,
         ("dz2 = dh2 * (z2 > 0)", "dz2 = dh2 * (dh2 > 0)")),
    Slip("multiplied by the ReLU itself instead of its slope", rows, ("dz1 = dh1 * (z1 > 0)", "dz1 = dh1 * h1")),
    Slip("the mask of the first layer from x @ W1 without the bias", rows,
         ("dz1 = dh1 * (z1 > 0)", "dz1 = dh1 * (x @ W1 > 0)")),
    Slip("b1 sums dz2, copied from the line of b2", rows, ("db1 = dz1.sum(axis=0)", "db1 = dz2.sum(axis=0)")),
    Slip("W2 took the output of its own layer", rows, ("dW2 = h1.T @ dz2", "dW2 = h2.T @ dz2")),
    Slip("W2 not transposed on the way back", rows, ("dh1 = dz2 @ W2.T", "dh1 = dz2 @ W2")),
    Slip("stepped W3 before going back through it", rows,
         ("dh2 = dz3 @ W3.T", "W3 = W3 - 0.5 * dW3\ndh2 = dz3 @ W3.T")),
    Slip("the derivative of a leaky ReLU at the first layer", rows,
         ("dz1 = dh1 * (z1 > 0)", "dz1 = dh1 * np.where(z1 > 0, 1, 0.1)")),
    Slip("the gradient came out as label minus probability", rows, ("dz3 = (p - y) / m", "dz3 = (y - p) / m")),
    Slip("only the half of the cross entropy with y", through_the_probability,
         ("grad_prob = -y / prob + (1 - y) / (1 - prob)", "grad_prob = -y / prob")),
    Slip("forgot that log(1 - p) falls with p", through_the_probability,
         ("grad_prob = -y / prob + (1 - y) / (1 - prob)", "grad_prob = -y / prob - (1 - y) / (1 - prob)")),
    Slip("stopped at the probability, without the sigmoid's derivative", through_the_probability,
         ("grad_logits = grad_prob * prob * (1 - prob) / n", "grad_logits = grad_prob / n")),
    Slip("p (1 - y) for p (1 - p)", through_the_probability,
         ("grad_logits = grad_prob * prob * (1 - prob) / n", "grad_logits = grad_prob * prob * (1 - y) / n")),
    Slip("took p - y and the sigmoid's derivative as well", through_the_probability,
         ("grad_prob = -y / prob + (1 - y) / (1 - prob)", "grad_prob = prob - y")),
    Slip("the einsum of W2 contracts the hidden units of W2 the wrong way", through_the_probability,
         ('grad_hidden1 = np.einsum("nk,hk->nh", grad_pre2, W2)',
          'grad_hidden1 = np.einsum("nk,kh->nh", grad_pre2, W2)')),
    Slip("the forward loop put a ReLU on the logits too", layer_by_layer,
         ("acts.append(np.maximum(s, 0) if k < 2 else s)", "acts.append(np.maximum(s, 0))")),
    Slip("the biases are summed, the weights averaged", layer_by_layer,
         ('grads[f"b{k + 1}"] = delta.sum(axis=0) / m', 'grads[f"b{k + 1}"] = delta.sum(axis=0)')),
    Slip("divides delta by m at each layer again", layer_by_layer,
         ("delta = delta @ weights[k].T * (acts[k] > 0)", "delta = delta @ weights[k].T * (acts[k] > 0) / m")),
    Slip("the backward loop stops before the first layer", layer_by_layer,
         ("for k in range(2, -1, -1):", "for k in range(2, 0, -1):")),
    Slip("the weights are stepped inside the backward loop", layer_by_layer,
         ('grads[f"b{k + 1}"] = delta.sum(axis=0) / m',
          'grads[f"b{k + 1}"] = delta.sum(axis=0) / m\nweights[k] = weights[k] - 0.3 * grads[f"W{k + 1}"]')),
    Slip("the first sample is skipped", sample_by_sample, ("for i in range(m):", "for i in range(1, m):")),
    Slip("the mask of the sample before", sample_by_sample,
         ("d1 = (W2 @ d2) * (H1[i] > 0)", "d1 = (W2 @ d2) * (H1[i - 1] > 0)")),
    Slip("the outer product of W2 the other way round", sample_by_sample,
         ("gW2 = gW2 + np.outer(H1[i], d2)", "gW2 = gW2 + np.outer(d2, H1[i])")),
    Slip("gb2 set, not added to", sample_by_sample, ("gb2 = gb2 + d2", "gb2 = d2")),
    Slip("masked the running gradient only after W2 and b2", one_running_gradient,
         ("g[r2 == 0] = 0", ""), ("gb2 = g.sum(0)", "gb2 = g.sum(0)\ng[r2 == 0] = 0")),
    Slip("both masks are those of the second layer", one_running_gradient, ("g[r1 == 0] = 0", "g[r2 == 0] = 0")),
    Slip("neither averaged nor masked at the first layer", one_running_gradient,
         ("g = g / len(g)", ""), ("g[r1 == 0] = 0", "")),
)
