"""A tanh layer and a softmax over the classes, samples in columns, labels smoothed, the weights decayed."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2")
EPS = 0.2
DECAY = 0.15


def data(rng, dtype):
    return {"X": rng.normal(size=(5, 7)).astype(dtype), "Y": np.eye(3)[rng.integers(0, 3, 7)].T.astype(dtype),
            "W1": (0.5 * rng.normal(size=(4, 5))).astype(dtype), "b1": (0.4 * rng.normal(size=(4, 1))).astype(dtype),
            "W2": (0.7 * rng.normal(size=(3, 4))).astype(dtype), "b2": (0.4 * rng.normal(size=(3, 1))).astype(dtype)}


def loss(X, Y, W1, b1, W2, b2):
    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1)
    Z2 = W2 @ A1 + b2
    logP = ad.log_softmax(Z2, axis=0)
    hard = -(Y * logP).sum(axis=0)
    uniform = -logP.mean(axis=0)
    xent = ((1 - EPS) * hard + EPS * uniform).mean()
    decay = DECAY / 2 * ((W1 ** 2).sum() + (W2 ** 2).sum())
    loss = xent + decay
    return loss


def columns(X, Y, W1, b1, W2, b2):
    C, n = Y.shape
    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1)
    Z2 = W2 @ A1 + b2
    E = np.exp(Z2)
    P = E / E.sum(axis=0, keepdims=True)
    Q = (1 - EPS) * Y + EPS / C
    dZ2 = (P - Q) / n
    dW2 = dZ2 @ A1.T + DECAY * W2
    db2 = dZ2.sum(axis=1, keepdims=True)
    dA1 = W2.T @ dZ2
    dZ1 = dA1 * (1 - A1 ** 2)
    dW1 = dZ1 @ X.T + DECAY * W1
    db1 = dZ1.sum(axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "Z1": dZ1, "Z2": dZ2}


def delta_rules(X, Y, W1, b1, W2, b2):
    n = X.shape[1]
    hidden = np.tanh(W1 @ X + b1)
    scores = W2 @ hidden + b2
    scores = scores - scores.max(axis=0)
    probs = np.exp(scores)
    probs = probs / probs.sum(axis=0)
    delta2 = probs - Y + EPS * (Y - 1 / 3)
    delta1 = (W2.T @ delta2) / np.cosh(W1 @ X + b1) ** 2
    grad_W2 = np.dot(delta2, hidden.T) / n + DECAY * W2
    grad_W1 = np.dot(delta1, X.T) / n + DECAY * W1
    grad_b2 = np.mean(delta2, axis=1, keepdims=True)
    grad_b1 = np.mean(delta1, axis=1, keepdims=True)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2}


def with_the_jacobian(X, Y, W1, b1, W2, b2):
    n = X.shape[1]
    gW1, gb1, gb2 = DECAY * W1, 0 * b1, 0 * b2
    gW2 = DECAY * W2
    for k in range(n):
        xk = X[:, k]
        a = np.tanh(W1 @ xk + b1[:, 0])
        e = np.exp(W2 @ a + b2[:, 0])
        p = e / e.sum()
        q = (1 - EPS) * Y[:, k] + EPS / len(p)
        dp = -q / p
        jac = np.diag(p) - np.outer(p, p)
        dz2 = jac @ dp / n
        da = W2.T @ dz2
        dz1 = (1 - a * a) * da
        gW2 = gW2 + np.outer(dz2, a)
        gb2 = gb2 + dz2[:, None]
        gW1 = gW1 + np.outer(dz1, xk)
        gb1 = gb1 + dz1[:, None]
    return {"dW1": gW1, "db1": gb1, "dW2": gW2, "db2": gb2}


def log_probabilities(X, Y, W1, b1, W2, b2):
    n = Y.shape[1]
    A = np.tanh(W1 @ X + b1)
    Z = W2 @ A + b2
    log_p = Z - np.log(np.exp(Z).sum(axis=0))
    Q = (1 - EPS) * Y + EPS / 3
    dlog_p = -Q / n
    dZ = dlog_p - np.exp(log_p) * dlog_p.sum(axis=0)
    dA = np.einsum("ch,cn->hn", W2, dZ)
    dpre = dA - dA * A ** 2
    dW2 = np.einsum("cn,hn->ch", dZ, A)
    dW1 = np.einsum("hn,dn->hd", dpre, X)
    dW2 += DECAY * W2
    dW1 += DECAY * W1
    db2 = np.einsum("cn->c", dZ)[:, None]
    db1 = np.einsum("hn->h", dpre)[:, None]
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


RIGHT = (columns, delta_rules, with_the_jacobian, log_probabilities)

SLIPS = (
    Slip("used the hard labels, as if there were no smoothing", columns, ("dZ2 = (P - Q) / n", "dZ2 = (P - Y) / n")),
    Slip("smoothed over the other classes only", columns,
         ("Q = (1 - EPS) * Y + EPS / C", "Q = (1 - EPS) * Y + EPS / (C - 1) * (1 - Y)")),
    Slip("gave each class the whole epsilon", columns,
         ("Q = (1 - EPS) * Y + EPS / C", "Q = (1 - EPS) * Y + EPS")),
    Slip("softmax over the samples", columns,
         ("P = E / E.sum(axis=0, keepdims=True)", "P = E / E.sum(axis=1, keepdims=True)")),
    Slip("a sigmoid for each class in place of the softmax", columns,
         ("P = E / E.sum(axis=0, keepdims=True)", "P = E / (1 + E)")),
    Slip("averaged over the classes too", columns, ("dZ2 = (P - Q) / n", "dZ2 = (P - Q) / P.size")),
    Slip("n is the number of classes", columns, ("C, n = Y.shape", "C = n = len(Y)")),
    Slip("no decay on the second layer", columns, ("dW2 = dZ2 @ A1.T + DECAY * W2", "dW2 = dZ2 @ A1.T")),
    Slip("decays the first bias too", columns,
         ("db1 = dZ1.sum(axis=1, keepdims=True)", "db1 = dZ1.sum(axis=1, keepdims=True) + DECAY * b1")),
    Slip("the decay was written for a penalty without the half", columns,
         ("dW2 = dZ2 @ A1.T + DECAY * W2", "dW2 = dZ2 @ A1.T + 2 * DECAY * W2"),
         ("dW1 = dZ1 @ X.T + DECAY * W1", "dW1 = dZ1 @ X.T + 2 * DECAY * W1")),
    Slip("subtracted the decay of W1, as in the update rule", columns,
         ("dW1 = dZ1 @ X.T + DECAY * W1", "dW1 = dZ1 @ X.T - DECAY * W1")),
    Slip("W2 was shrunk in place before it was used on the way back", columns,
         ("dA1 = W2.T @ dZ2", "W2 *= 1 - DECAY\ndA1 = W2.T @ dZ2")),
    Slip("took tanh of the activation once more for its slope", columns,
         ("dZ1 = dA1 * (1 - A1 ** 2)", "dZ1 = dA1 * (1 - np.tanh(A1) ** 2)")),
    Slip("b1 got the sum over everything", columns,
         ("db1 = dZ1.sum(axis=1, keepdims=True)", "db1 = dZ1.sum() * np.ones_like(b1)")),
    Slip("the correction for smoothing with the wrong sign", delta_rules,
         ("delta2 = probs - Y + EPS * (Y - 1 / 3)", "delta2 = probs - Y - EPS * (Y - 1 / 3)")),
    Slip("the smoothed label without its uniform part", delta_rules,
         ("delta2 = probs - Y + EPS * (Y - 1 / 3)", "delta2 = probs - (1 - EPS) * Y")),
    Slip("the parenthesis closes after the decay of W1", delta_rules,
         ("grad_W1 = np.dot(delta1, X.T) / n + DECAY * W1", "grad_W1 = (np.dot(delta1, X.T) + DECAY * W1) / n")),
    Slip("sech instead of its square", delta_rules,
         ("delta1 = (W2.T @ delta2) / np.cosh(W1 @ X + b1) ** 2", "delta1 = (W2.T @ delta2) / np.cosh(W1 @ X + b1)")),
    Slip("cosh of the hidden layer's output", delta_rules,
         ("delta1 = (W2.T @ delta2) / np.cosh(W1 @ X + b1) ** 2", "delta1 = (W2.T @ delta2) / np.cosh(hidden) ** 2")),
    Slip("the slope of tanh at the input without its bias", delta_rules,
         ("delta1 = (W2.T @ delta2) / np.cosh(W1 @ X + b1) ** 2", "delta1 = (W2.T @ delta2) / np.cosh(W1 @ X) ** 2")),
    Slip("the scores were shifted by the maximum of each class", delta_rules,
         ("scores = scores - scores.max(axis=0)", "scores = scores - scores.max(axis=1, keepdims=True)")),
    Slip("took the softmax one entry at a time", with_the_jacobian,
         ("jac = np.diag(p) - np.outer(p, p)", "jac = np.diag(p * (1 - p))")),
    Slip("the off-diagonal entries with a plus", with_the_jacobian,
         ("jac = np.diag(p) - np.outer(p, p)", "jac = np.diag(p - 2 * p * p) + np.outer(p, p)")),
    Slip("forgot to normalise p", with_the_jacobian, ("p = e / e.sum()", "p = e")),
    Slip("the decay of W1 is added with each sample", with_the_jacobian,
         ("gW1 = gW1 + np.outer(dz1, xk)", "gW1 = gW1 + np.outer(dz1, xk) + DECAY * W1")),
    Slip("gW2 set anew for each sample, the decay with it", with_the_jacobian,
         ("gW2 = gW2 + np.outer(dz2, a)", "gW2 = DECAY * W2 + np.outer(dz2, a)")),
    Slip("the loop ends one sample early", with_the_jacobian, ("for k in range(n):", "for k in range(n - 1):")),
    Slip("the normaliser of the softmax as a constant", log_probabilities,
         ("dZ = dlog_p - np.exp(log_p) * dlog_p.sum(axis=0)", "dZ = dlog_p")),
    Slip("the log probability where the probability belongs", log_probabilities,
         ("dZ = dlog_p - np.exp(log_p) * dlog_p.sum(axis=0)", "dZ = dlog_p - log_p * dlog_p.sum(axis=0)")),
    Slip("summed the log probabilities' gradient over the samples", log_probabilities,
         ("dZ = dlog_p - np.exp(log_p) * dlog_p.sum(axis=0)",
          "dZ = dlog_p - np.exp(log_p) * dlog_p.sum(axis=1, keepdims=True)")),
    Slip("neither tanh' nor the mean over the samples", log_probabilities,
         ("dpre = dA - dA * A ** 2", "dpre = dA"), ("dlog_p = -Q / n", "dlog_p = -Q")),
    Slip("both decays go to W2", log_probabilities, ("dW1 += DECAY * W1", "dW2 += DECAY * W2")),
)
