"""Softmax regression on columns: smoothed labels, weighted classes, a learned temperature and a ridge."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "beta")
EPS = 0.2
RIDGE = 0.15


def data(rng, dtype):
    y = np.array([0, 2, 1, 1, 3, 0, 2])
    return {"X": rng.normal(size=(5, 7)).astype(dtype), "W": (0.6 * rng.normal(size=(4, 5))).astype(dtype),
            "b": rng.normal(size=(4, 1)).astype(dtype), "beta": np.asarray(rng.uniform(0.6, 1.7), dtype),
            "Y": np.eye(4)[:, y].astype(dtype), "omega": rng.uniform(0.3, 2.5, size=(4, 1)).astype(dtype)}


def loss(X, W, b, beta, Y, omega):
    F = np.matmul(W, X) + b
    Z = beta * F
    L = ad.log_softmax(Z, axis=0)
    Q = (1 - EPS) * Y + EPS / 4
    V = omega * Q
    total = np.sum(omega * Y)
    ce = -np.sum(V * L) / total
    ridge = RIDGE * np.sum(W * W)
    J = ce + ridge
    return J


def in_columns(X, W, b, beta, Y, omega):
    F = W @ X + b
    E = np.exp(beta * F - np.max(beta * F, axis=0))
    P = E / E.sum(axis=0)
    V = omega * ((1 - EPS) * Y + EPS / len(Y))
    dZ = P * V.sum(axis=0) - V
    dZ /= np.sum(omega * Y)
    dF = beta * dZ
    dW = dF @ X.T
    dW += 2 * RIDGE * W
    db = dF.sum(axis=1, keepdims=True)
    dbeta = np.sum(dZ * F)
    return {"W": dW, "b": db, "beta": dbeta}


def through_the_log(X, W, b, beta, Y, omega):
    K = W.shape[0]
    F = W @ X + b
    Z = beta * F
    top = Z.max(axis=0, keepdims=True)
    lse = top + np.log(np.exp(Z - top).sum(axis=0, keepdims=True))
    L = Z - lse
    onehot = Y
    smooth = onehot * (1 - EPS) + EPS / K
    weighted = smooth * omega
    weight_sum = (omega * onehot).sum()
    loss = -(weighted * L).sum() / weight_sum + RIDGE * (W ** 2).sum()
    g_L = -weighted / weight_sum
    g_lse = -g_L.sum(axis=0, keepdims=True)
    g_Z = g_L.copy()
    g_Z += g_lse * np.exp(Z - lse)
    g_beta = (g_Z * F).sum()
    g_F = g_Z * beta
    g_b = g_F.sum(axis=1).reshape(-1, 1)
    g_W = g_F @ X.T + 2 * RIDGE * W
    return {"W": g_W, "b": g_b, "beta": g_beta, "loss": loss, "L": g_L, "Z": g_Z, "F": g_F}


def example_by_example(X, W, b, beta, Y, omega):
    classes, n = Y.shape
    w = omega[:, 0]
    norm = 0.0
    dW = np.zeros((classes, len(X)))
    db = np.zeros(classes)
    dbeta = 0.0
    for i in range(n):
        x = X[:, i]
        c = int(np.argmax(Y[:, i]))
        norm += w[c]
        f = W @ x + b[:, 0]
        e = np.exp(beta * f)
        p = e / e.sum()
        d = np.zeros(classes)
        for k in range(classes):
            q = EPS / classes
            if k == c:
                q += 1 - EPS
            unit = np.zeros(classes)
            unit[k] = 1
            d += w[k] * q * (p - unit)
        dbeta += d @ f
        dW += beta * np.outer(d, x)
        db += beta * d
    dW = dW / norm
    db = db / norm
    dbeta = dbeta / norm
    dW = dW + RIDGE * (W + W)
    return {"dW": dW, "db": db[:, None], "dbeta": dbeta}


def by_the_jacobian(X, W, b, beta, Y, omega):
    A = (X.T @ W.T + b.T)
    S = np.exp(beta * A)
    S = S / S.sum(1, keepdims=True)
    C = omega.T
    T = (1 - EPS) * Y.T + EPS * np.full(Y.T.shape, 1 / Y.shape[0])
    grad_S = -C * T / S / (C * Y.T).sum()
    J = np.einsum("nk,kl->nkl", S, np.eye(S.shape[1])) - np.einsum("nk,nl->nkl", S, S)
    delta = np.einsum("nk,nkl->nl", grad_S, J)
    grad_W = beta * np.einsum("nk,nd->kd", delta, X.T)
    grad_b = beta * delta.sum(0)[:, None]
    grad_beta = np.einsum("nk,nk->", delta, A)
    return {"W": grad_W + 2 * RIDGE * W, "b": grad_b, "beta": grad_beta}


RIGHT = (in_columns, through_the_log, example_by_example, by_the_jacobian)

SLIPS = (
    Slip("weights taken as if they summed to one in each column", in_columns,
         ("dZ = P * V.sum(axis=0) - V", "dZ = P - V"),
         label=label("wrong-local-rule softmax-diagonal", "Z L V", "log_softmax")),
    Slip("P minus the smoothed labels, weighted by the class after", in_columns,
         ("dZ = P * V.sum(axis=0) - V", "dZ = omega * (P - ((1 - EPS) * Y + EPS / len(Y)))"),
         label=label("wrong-local-rule softmax-diagonal wrong-operand", "Z L V", "log_softmax multiply")),
    Slip("V minus P", in_columns, ("dZ = P * V.sum(axis=0) - V", "dZ = V - P * V.sum(axis=0)"),
         label=label("sign", "Z L ce", "log_softmax multiply sum negative divide")),
    Slip("temperature left out of dF", in_columns, ("dF = beta * dZ", "dF = dZ"),
         label=label("missing-local-derivative wrong-operand scale", "F Z", "multiply")),
    Slip("divided by beta as by a temperature", in_columns, ("dF = beta * dZ", "dF = dZ / beta"),
         label=label("wrong-local-rule wrong-operand scale", "F Z", "multiply")),
    Slip("beta's gradient by the scaled logits", in_columns,
         ("dbeta = np.sum(dZ * F)", "dbeta = np.sum(dZ * beta * F)"),
         label=label("wrong-operand scale", "beta Z F", "multiply")),
    Slip("ridge not doubled", in_columns, ("dW += 2 * RIDGE * W", "dW += RIDGE * W"),
         label=label("scale dropped-path wrong-local-rule", "W ridge", "multiply sum")),
    Slip("divided by the number of columns", in_columns, ("dZ /= np.sum(omega * Y)", "dZ /= Y.shape[1]"),
         label=label("scale wrong-operand", "Z L ce total", "divide negative sum multiply log_softmax")),
    Slip("softmax over the examples", in_columns, ("P = E / E.sum(axis=0)", "P = E / E.sum(axis=1, keepdims=True)"),
         label=label("wrong-axis", "Z L", "log_softmax")),
    Slip("hard labels in the gradient", in_columns,
         ("V = omega * ((1 - EPS) * Y + EPS / len(Y))", "V = omega * Y"),
         label=label("wrong-operand dropped-path missing-term", "V L Z", "multiply log_softmax")),
    Slip("b left out of the logits", in_columns, ("F = W @ X + b", "F = W @ X"),
         label=label("dropped-path wrong-argument wrong-operand", "F Z L b", "add multiply log_softmax")),
    Slip("lse not differentiated", through_the_log, ("g_Z += g_lse * np.exp(Z - lse)", ""),
         label=label("treated-as-constant dropped-path missing-local-derivative softmax-diagonal",
                     "Z L", "log_softmax")),
    Slip("lse's part subtracted", through_the_log,
         ("g_Z += g_lse * np.exp(Z - lse)", "g_Z -= g_lse * np.exp(Z - lse)"),
         label=label("sign softmax-diagonal wrong-local-rule", "Z L", "log_softmax")),
    Slip("softmax without temperature for the lse", through_the_log,
         ("g_Z += g_lse * np.exp(Z - lse)", "g_Z += g_lse * np.exp(F) / np.exp(F).sum(axis=0)"),
         label=label("wrong-argument wrong-operand", "Z L F", "log_softmax")),
    Slip("lse's gradient summed over everything", through_the_log,
         ("g_lse = -g_L.sum(axis=0, keepdims=True)", "g_lse = -g_L.sum(keepdims=True)"),
         label=label("wrong-axis wrong-local-rule", "Z L", "log_softmax sum")),
    Slip("eps given to every class whole", through_the_log,
         ("smooth = onehot * (1 - EPS) + EPS / K", "smooth = onehot * (1 - EPS) + EPS"),
         label=label("scale wrong-operand", "V L Z", "add multiply log_softmax")),
    Slip("smoothing added without taking it from the one", through_the_log,
         ("smooth = onehot * (1 - EPS) + EPS / K", "smooth = onehot + EPS / K"),
         label=label("scale wrong-operand extra-term", "V L Z", "add multiply log_softmax")),
    Slip("plus in the log likelihood", through_the_log,
         ("g_L = -weighted / weight_sum", "g_L = weighted / weight_sum"),
         label=label("sign", "Z L ce", "log_softmax multiply sum negative divide")),
    Slip("class weights forgotten in L", through_the_log,
         ("g_L = -weighted / weight_sum", "g_L = -smooth / weight_sum"),
         label=label("wrong-operand missing-local-derivative", "L V Z", "multiply log_softmax")),
    Slip("b averaged over the examples", through_the_log,
         ("g_b = g_F.sum(axis=1).reshape(-1, 1)", "g_b = g_F.mean(axis=1).reshape(-1, 1)"),
         label=label("scale", "b F", "add")),
    Slip("weight of the label for every class", example_by_example,
         ("d += w[k] * q * (p - unit)", "d += w[c] * q * (p - unit)"),
         label=label("wrong-operand", "V L Z omega", "multiply log_softmax")),
    Slip("probability of the class only", example_by_example,
         ("d += w[k] * q * (p - unit)", "d += w[k] * q * (p * unit - unit)"),
         label=label("softmax-diagonal wrong-local-rule", "Z L", "log_softmax")),
    Slip("eps shared among the wrong classes", example_by_example,
         ("q = EPS / classes", "q = EPS / (classes - 1)"), ("q += 1 - EPS", "q = 1 - EPS"),
         label=label("wrong-operand scale", "V L Z", "add multiply log_softmax")),
    Slip("W set in each turn", example_by_example,
         ("dW += beta * np.outer(d, x)", "dW = beta * np.outer(d, x)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "W F", "matmul")),
    Slip("d runs on from one example to the next", example_by_example,
         ("d = np.zeros(classes)", ""), ("dbeta = 0.0", "dbeta = 0.0\nd = np.zeros(classes)"),
         label=label("stale-value extra-term", "Z L F", "log_softmax")),
    Slip("bias not normalised", example_by_example, ("db = db / norm", ""),
         label=label("scale", "b F ce total", "add divide")),
    Slip("ridge inside the normalisation", example_by_example, ("dW = dW / norm", ""),
         ("dW = dW + RIDGE * (W + W)", "dW = (dW + RIDGE * (W + W)) / norm"),
         label=label("scale", "W ridge", "multiply sum")),
    Slip("cross products of the softmax forgotten", by_the_jacobian,
         ('J = np.einsum("nk,kl->nkl", S, np.eye(S.shape[1])) - np.einsum("nk,nl->nkl", S, S)',
          'J = np.einsum("nk,kl->nkl", S * (1 - S), np.eye(S.shape[1]))'),
         label=label("softmax-diagonal wrong-local-rule", "Z L", "log_softmax")),
    Slip("plus between the two parts of the Jacobian", by_the_jacobian,
         ('J = np.einsum("nk,kl->nkl", S, np.eye(S.shape[1])) - np.einsum("nk,nl->nkl", S, S)',
          'J = np.einsum("nk,kl->nkl", S, np.eye(S.shape[1])) + np.einsum("nk,nl->nkl", S, S)'),
         label=label("softmax-diagonal sign wrong-local-rule", "Z L", "log_softmax")),
    Slip("one over S forgotten", by_the_jacobian,
         ("grad_S = -C * T / S / (C * Y.T).sum()", "grad_S = -C * T / (C * Y.T).sum()"),
         label=label("missing-local-derivative double-derivative wrong-local-rule", "Z L", "log_softmax")),
    Slip("normalised by all the smoothed weights", by_the_jacobian,
         ("grad_S = -C * T / S / (C * Y.T).sum()", "grad_S = -C * T / S / (C * T).sum()"),
         label=label("scale wrong-operand", "Z L ce total", "divide negative sum multiply log_softmax")),
    Slip("no beta at b, and the ridge's sign", by_the_jacobian,
         ("grad_b = beta * delta.sum(0)[:, None]", "grad_b = delta.sum(0)[:, None]"),
         ('return {"W": grad_W + 2 * RIDGE * W, "b": grad_b, "beta": grad_beta}',
          'return {"W": grad_W - 2 * RIDGE * W, "b": grad_b, "beta": grad_beta}'),
         label=label("two", "b F Z W ridge", "add multiply sum")),
    Slip("beta's gradient by the probabilities", by_the_jacobian,
         ('grad_beta = np.einsum("nk,nk->", delta, A)', 'grad_beta = np.einsum("nk,nk->", delta, S)'),
         label=label("wrong-operand", "beta Z F", "multiply")),
)
