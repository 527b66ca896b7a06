"""Three classes by a network with two hidden layers of rectifiers, a sample a row."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    f = lambda *shape, scale=1.0: (scale * rng.normal(size=shape)).astype(dtype)
    return {"X": f(8, 5), "W1": f(5, 4, scale=0.8), "b1": f(4, scale=0.5), "W2": f(4, 4, scale=0.8),
            "b2": f(4, scale=0.5), "W3": f(4, 3), "b3": f(3, scale=0.3), "labels": rng.integers(0, 3, size=8)}


def loss(X, W1, b1, W2, b2, W3, b3, labels):
    N = X.shape[0]
    a1 = X @ W1 + b1
    h1 = np.maximum(a1, 0)
    a2 = h1 @ W2 + b2
    h2 = np.maximum(a2, 0)
    scores = h2 @ W3 + b3
    logp = ad.log_softmax(scores, axis=1)
    picked = logp[np.arange(N), labels]
    loss = -np.mean(picked)
    return loss


def reused_names(X, W1, b1, W2, b2, W3, b3, labels):
    N = len(X)
    h1 = np.maximum(0, X @ W1 + b1)
    h2 = np.maximum(0, h1 @ W2 + b2)
    scores = h2 @ W3 + b3
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    dout = p
    dout[np.arange(N), labels] -= 1
    dout /= N
    dW3, db3 = h2.T @ dout, dout.sum(axis=0)
    dh = dout @ W3.T
    dh[h2 <= 0] = 0
    dW2, db2 = h1.T @ dh, dh.sum(axis=0)
    dh = dh @ W2.T
    dh[h1 <= 0] = 0
    dW1, db1 = X.T @ dh, dh.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def layer_loop(X, W1, b1, W2, b2, W3, b3, labels):
    Ws, bs = [W1, W2, W3], [b1, b2, b3]
    hs, pre = [X], []
    for W, b in zip(Ws, bs):
        pre.append(hs[-1] @ W + b)
        hs.append(np.maximum(pre[-1], 0))
    e = np.exp(pre[-1] - pre[-1].max(1)[:, None])
    prob = e / e.sum(1)[:, None]
    dx = (prob - np.eye(3)[labels]) / len(X)
    grads = {}
    for l in reversed(range(3)):
        if l < 2:
            dx = dx * (pre[l] > 0)
        grads[f"W{l + 1}"] = hs[l].T @ dx
        grads[f"b{l + 1}"] = dx.sum(0)
        dx = dx @ Ws[l].T
    return grads


def long_hand(X, W1, b1, W2, b2, W3, b3, labels):
    batch = X.shape[0]
    xw1 = X @ W1
    a1 = xw1 + b1
    mask1 = (a1 > 0).astype(a1.dtype)
    h1 = a1 * mask1
    hw2 = h1 @ W2
    a2 = hw2 + b2
    mask2 = (a2 > 0).astype(a2.dtype)
    h2 = a2 * mask2
    hw3 = h2 @ W3
    scores = hw3 + b3
    top = np.max(scores, axis=1, keepdims=True)
    expd = np.exp(scores - top)
    sums = np.sum(expd, axis=1, keepdims=True)
    probs = expd / sums
    grad_picked = -np.ones(batch) / batch
    grad_logp = np.zeros_like(scores)
    grad_logp[np.arange(batch), labels] = grad_picked
    row_sums = np.sum(grad_logp, axis=1, keepdims=True)
    grad_scores = grad_logp - probs * row_sums
    grad_b3 = np.sum(grad_scores, axis=0)
    grad_W3 = np.matmul(np.transpose(h2), grad_scores)
    grad_h2 = np.matmul(grad_scores, np.transpose(W3))
    grad_a2 = grad_h2 * mask2
    grad_b2 = np.sum(grad_a2, axis=0)
    grad_W2 = np.matmul(np.transpose(h1), grad_a2)
    grad_h1 = np.matmul(grad_a2, np.transpose(W2))
    grad_a1 = grad_h1 * mask1
    grad_b1 = np.sum(grad_a1, axis=0)
    grad_W1 = np.matmul(np.transpose(X), grad_a1)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3,
            "scores": grad_scores, "h2": grad_h2, "a2": grad_a2, "h1": grad_h1, "a1": grad_a1}


def backpropagate_one(x, y, W1, b1, W2, b2, W3, b3):
    u = x @ W1 + b1
    v = np.maximum(u, 0) @ W2 + b2
    s = np.maximum(v, 0) @ W3 + b3
    q = np.exp(s - s.max())
    q = q / q.sum()
    d3 = q.copy()
    d3[y] -= 1
    d2 = np.where(v > 0, W3 @ d3, 0)
    d1 = np.where(u > 0, W2 @ d2, 0)
    return np.outer(x, d1), d1, np.outer(np.maximum(u, 0), d2), d2, np.outer(np.maximum(v, 0), d3), d3


def averaged(X, W1, b1, W2, b2, W3, b3, labels):
    total = [0, 0, 0, 0, 0, 0]
    for x, y in zip(X, labels):
        parts = backpropagate_one(x, y, W1, b1, W2, b2, W3, b3)
        for j, part in enumerate(parts):
            total[j] = total[j] + part
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]
    return {"d" + name: g / len(X) for name, g in zip(names, total)}


def in_one_function(X, W1, b1, W2, b2, W3, b3, labels):
    dW1, dW2, dW3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)
    db1, db2, db3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    n = len(labels)
    for i, y in enumerate(labels):
        x = X[i]
        u = x @ W1 + b1
        h = np.maximum(u, 0)
        v = h @ W2 + b2
        g = np.maximum(v, 0)
        s = g @ W3 + b3
        q = np.exp(s) / np.exp(s).sum()
        d3 = q
        d3[y] -= 1
        dW3 += np.outer(g, d3)
        db3 += d3
        d2 = (W3 @ d3) * (v > 0)
        dW2 += np.outer(h, d2)
        db2 += d2
        d1 = (W2 @ d2) * (u > 0)
        dW1 += np.outer(x, d1)
        db1 += d1
    return {"W1": dW1 / n, "b1": db1 / n, "W2": dW2 / n, "b2": db2 / n, "W3": dW3 / n, "b3": db3 / n}


RIGHT = (reused_names, layer_loop, long_hand, averaged, in_one_function)

SLIPS = (
    Slip("first layer's rectifier masked by the second's output", reused_names, ("dh[h1 <= 0] = 0", "dh[h2 <= 0] = 0"),
         label=label("wrong-argument wrong-operand", "h1 a1 h2", "maximum")),
    Slip("mask of the second rectifier forgotten", reused_names, ("dh[h2 <= 0] = 0", ""),
         label=label("missing-local-derivative", "h2 a2", "maximum")),
    Slip("mask turned round in the first layer", reused_names, ("dh[h1 <= 0] = 0", "dh[h1 > 0] = 0"),
         label=label("wrong-local-rule wrong-argument", "h1 a1", "maximum")),
    Slip("mask after the second layer's weights were done", reused_names, ("dh[h2 <= 0] = 0", ""),
         ("dh = dh @ W2.T", "dh[h2 <= 0] = 0\ndh = dh @ W2.T"),
         label=label("missing-local-derivative stale-value wrong-operand", "W2 b2 a2 h2", "maximum matmul add")),
    Slip("softmax minus one everywhere", reused_names, ("dout[np.arange(N), labels] -= 1", "dout -= 1"),
         label=label("wrong-local-rule extra-term scatter softmax-diagonal",
                     "scores logp picked", "log_softmax getitem")),
    Slip("labels taken to count from one", reused_names,
         ("dout[np.arange(N), labels] -= 1", "dout[np.arange(N), labels - 1] -= 1"),
         label=label("scatter wrong-operand", "scores logp picked labels", "getitem log_softmax")),
    Slip("divided before the one is subtracted", reused_names, ("dout /= N", ""),
         ("dout[np.arange(N), labels] -= 1", "dout /= N\ndout[np.arange(N), labels] -= 1"),
         label=label("scale wrong-local-rule", "scores logp picked loss", "getitem mean log_softmax")),
    Slip("mean of the loss not taken", reused_names, ("dout /= N", ""),
         label=label("scale", "loss picked logp scores", "mean negative getitem log_softmax")),
    Slip("gradient of the hidden layer clipped, not its input", reused_names,
         ("dh[h2 <= 0] = 0", "dh[dh <= 0] = 0"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "h2 a2", "maximum")),
    Slip("second weights without transposing on the way back", reused_names, ("dh = dh @ W2.T", "dh = dh @ W2"),
         label=label("missing-transpose", "h1 a2 W2", "matmul")),
    Slip("softmax normalised over the batch", reused_names,
         ("p /= p.sum(axis=1, keepdims=True)", "p /= p.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis wrong-argument wrong-local-rule", "scores logp", "log_softmax")),
    Slip("rectifier's mask at the scores as well", layer_loop,
         ("if l < 2:", "if l < 3:"),
         label=label("wrong-local-rule extra-term double-derivative wrong-argument",
                     "scores logp", "log_softmax maximum add")),
    Slip("no mask in the first layer", layer_loop, ("if l < 2:", "if l == 1:"),
         label=label("missing-local-derivative", "h1 a1", "maximum")),
    Slip("output of the layer instead of its input", layer_loop,
         ("grads[f\"W{l + 1}\"] = hs[l].T @ dx", "grads[f\"W{l + 1}\"] = (hs[l + 1] if l == 1 else hs[l]).T @ dx"),
         label=label("wrong-operand stale-value", "W2 h1 h2 a2", "matmul")),
    Slip("preactivations feed the weights", layer_loop,
         ("grads[f\"W{l + 1}\"] = hs[l].T @ dx", "grads[f\"W{l + 1}\"] = (pre[l - 1] if l else X).T @ dx"),
         label=label("wrong-operand two missing-local-derivative", "W2 W3 h1 h2 a1 a2 scores", "matmul maximum")),
    Slip("value of the rectifier in the place of its slope", layer_loop,
         ("dx = dx * (pre[l] > 0)", "dx = dx * hs[l + 1]"),
         label=label("wrong-local-rule wrong-argument", "h1 a1 h2 a2", "maximum")),
    Slip("biases averaged over rows", layer_loop,
         ("grads[f\"b{l + 1}\"] = dx.sum(0)", "grads[f\"b{l + 1}\"] = dx.mean(0)"),
         label=label("scale two", "b1 b2 b3 a1 a2 scores", "add mean")),
    Slip("one-hot minus softmax", layer_loop,
         ("dx = (prob - np.eye(3)[labels]) / len(X)", "dx = (np.eye(3)[labels] - prob) / len(X)"),
         label=label("sign", "scores logp picked loss", "log_softmax negative mean getitem")),
    Slip("divided by all entries of the scores", layer_loop,
         ("dx = (prob - np.eye(3)[labels]) / len(X)", "dx = (prob - np.eye(3)[labels]) / prob.size"),
         label=label("scale", "scores logp picked loss", "log_softmax negative mean getitem")),
    Slip("scores rectified before the softmax", layer_loop,
         ("e = np.exp(pre[-1] - pre[-1].max(1)[:, None])", "e = np.exp(hs[-1] - hs[-1].max(1)[:, None])"),
         label=label("wrong-argument wrong-operand", "scores logp", "log_softmax")),
    Slip("normaliser of log softmax forgotten", long_hand,
         ("grad_scores = grad_logp - probs * row_sums", "grad_scores = grad_logp"),
         label=label("treated-as-constant dropped-path wrong-local-rule softmax-diagonal",
                     "logp scores", "log_softmax")),
    Slip("row sums over the batch", long_hand,
         ("row_sums = np.sum(grad_logp, axis=1, keepdims=True)",
          "row_sums = np.sum(grad_logp, axis=0, keepdims=True)"),
         label=label("wrong-axis wrong-local-rule", "logp scores", "log_softmax")),
    Slip("softmax's jacobian used for log softmax", long_hand,
         ("row_sums = np.sum(grad_logp, axis=1, keepdims=True)",
          "row_sums = np.sum(grad_logp * probs, axis=1, keepdims=True)"),
         ("grad_scores = grad_logp - probs * row_sums", "grad_scores = probs * (grad_logp - row_sums)"),
         label=label("wrong-local-rule double-derivative wrong-argument softmax-diagonal",
                     "logp scores", "log_softmax")),
    Slip("unnormalised exponentials", long_hand,
         ("grad_scores = grad_logp - probs * row_sums", "grad_scores = grad_logp - expd * row_sums"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "logp scores", "log_softmax")),
    Slip("weights of the second layer from its own output", long_hand,
         ("grad_W2 = np.matmul(np.transpose(h1), grad_a2)", "grad_W2 = np.matmul(np.transpose(h2), grad_a2)"),
         label=label("wrong-operand", "W2 h1 h2 a2", "matmul")),
    Slip("first bias before the mask", long_hand,
         ("grad_b1 = np.sum(grad_a1, axis=0)", "grad_b1 = np.sum(grad_h1, axis=0)"),
         label=label("missing-local-derivative wrong-operand stale-value", "b1 a1 h1", "maximum add")),
    Slip("second bias copied from the first", long_hand,
         ("grad_b2 = np.sum(grad_a2, axis=0)", "grad_b2 = np.sum(grad_a2 @ W2.T * mask1, axis=0)"),
         label=label("wrong-operand swapped", "b2 a2 b1 a1", "add")),
    Slip("second weights' gradient transposed", long_hand,
         ("grad_W2 = np.matmul(np.transpose(h1), grad_a2)", "grad_W2 = np.matmul(np.transpose(grad_a2), h1)"),
         label=label("transposed-result missing-transpose", "W2 a2 h1", "matmul")),
    Slip("minus of the log-likelihood forgotten", long_hand,
         ("grad_picked = -np.ones(batch) / batch", "grad_picked = np.ones(batch) / batch"),
         label=label("sign", "loss picked logp scores", "negative mean getitem log_softmax")),
    Slip("samples' gradients replaced, not added", averaged, ("total[j] = total[j] + part", "total[j] = part"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction",
                     "loss picked logp scores a1 a2 X W1 b1 W2 b2 W3 b3", "mean matmul add")),
    Slip("first two biases under each other's names", averaged,
         ('names = ["W1", "b1", "W2", "b2", "W3", "b3"]', 'names = ["W1", "b2", "W2", "b1", "W3", "b3"]'),
         label=label("swapped", "b1 b2 a1 a2", "add")),
    Slip("biases divided twice", averaged,
         ("total[j] = total[j] + part", "total[j] = total[j] + (part / len(X) if part.ndim == 1 else part)"),
         label=label("scale two", "b1 b2 b3 a1 a2 scores", "add")),
    Slip("second layer masked where the first is on", in_one_function,
         ("d2 = (W3 @ d3) * (v > 0)", "d2 = (W3 @ d3) * (u > 0)"),
         label=label("wrong-argument wrong-operand", "h2 a2 h1 a1", "maximum")),
    Slip("unrectified hidden layer in the last weights", in_one_function,
         ("dW3 += np.outer(g, d3)", "dW3 += np.outer(v, d3)"),
         label=label("wrong-operand missing-local-derivative", "W3 h2 a2 scores", "matmul maximum")),
    Slip("label's one never subtracted", in_one_function, ("d3[y] -= 1", ""),
         label=label("dropped-path wrong-local-rule missing-term", "scores logp picked", "log_softmax getitem")),
    Slip("first hidden layer's rectifier forgotten in the forward", in_one_function, ("h = np.maximum(u, 0)", "h = u"),
         label=label("wrong-operand wrong-argument two",
                     "h1 a1 a2 W2 h2 scores logp", "matmul maximum log_softmax")),
    Slip("second weights overwritten, and the first layer masked by the second", in_one_function,
         ("dW2 += np.outer(h, d2)", "dW2 = np.outer(h, d2)"),
         ("d1 = (W2 @ d2) * (u > 0)", "d1 = (W2 @ d2) * (v > 0)"),
         label=label("two", "W2 a2 h1 a1 h2", "matmul maximum")),
)
