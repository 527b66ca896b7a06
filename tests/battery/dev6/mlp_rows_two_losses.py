"""A net with a tanh and a sigmoid layer, samples in rows: cross entropy of a probability, a ridge on the weights."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")
LAM = 0.3


def data(rng, dtype):
    return {"X": rng.normal(size=(7, 5)).astype(dtype), "y": np.array([[1, 0, 0, 1, 1, 0, 1]]).T.astype(dtype),
            "W1": (0.6 * rng.normal(size=(5, 4))).astype(dtype), "b1": rng.normal(size=4).astype(dtype),
            "W2": rng.normal(size=(4, 4)).astype(dtype), "b2": rng.normal(size=4).astype(dtype),
            "W3": rng.normal(size=(4, 1)).astype(dtype), "b3": rng.normal(size=1).astype(dtype)}


def loss(X, y, W1, b1, W2, b2, W3, b3):
    Z1 = X @ W1 + b1
    H1 = np.tanh(Z1)
    Z2 = H1 @ W2 + b2
    H2 = ad.sigmoid(Z2)
    Z3 = H2 @ W3 + b3
    p = ad.sigmoid(Z3)
    ll = y * np.log(p) + (1 - y) * np.log(1 - p)
    J_data = -np.mean(ll)
    J_ridge = LAM / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2) + np.sum(W3 ** 2))
    J = J_data + J_ridge
    return J


def logistic(t):
    return 1 / (1 + np.exp(-t))


def matrix_deltas(X, y, W1, b1, W2, b2, W3, b3):
    m = X.shape[0]
    H1 = np.tanh(X @ W1 + b1)
    H2 = logistic(H1 @ W2 + b2)
    p = logistic(H2 @ W3 + b3)
    delta3 = (p - y) / m
    delta2 = delta3 @ W3.T * H2 * (1 - H2)
    delta1 = delta2 @ W2.T * (1 - H1 ** 2)
    dW3 = H2.T @ delta3 + LAM * W3
    dW2 = H1.T @ delta2 + LAM * W2
    dW1 = X.T @ delta1 + LAM * W1
    db3 = delta3.sum(axis=0)
    db2 = delta2.sum(axis=0)
    db1 = delta1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def every_differential(X, y, W1, b1, W2, b2, W3, b3):
    m = len(y)
    Z1 = X @ W1 + b1
    H1 = np.tanh(Z1)
    Z2 = H1 @ W2 + b2
    H2 = logistic(Z2)
    Z3 = H2 @ W3 + b3
    p = logistic(Z3)
    J_data = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    J_ridge = 0.5 * LAM * ((W1 * W1).sum() + (W2 * W2).sum() + (W3 * W3).sum())

    dJ_dp = ((1 - y) / (1 - p) - y / p) / m
    dp_dZ3 = p * (1 - p)
    dJ_dZ3 = dJ_dp * dp_dZ3
    dJ_dW3 = H2.T @ dJ_dZ3
    dJ_db3 = np.sum(dJ_dZ3, axis=0)

    dJ_dH2 = dJ_dZ3 @ W3.T
    dH2_dZ2 = logistic(Z2) * (1 - logistic(Z2))
    dJ_dZ2 = dJ_dH2 * dH2_dZ2
    dJ_dW2 = H1.T @ dJ_dZ2
    dJ_db2 = np.sum(dJ_dZ2, axis=0)

    dJ_dH1 = dJ_dZ2 @ W2.T
    dH1_dZ1 = 1 - np.tanh(Z1) ** 2
    dJ_dZ1 = dJ_dH1 * dH1_dZ1
    dJ_dW1 = X.T @ dJ_dZ1
    dJ_db1 = np.sum(dJ_dZ1, axis=0)

    dJ_dW1 += LAM * W1
    dJ_dW2 += LAM * W2
    dJ_dW3 += LAM * W3
    return {"dW1": dJ_dW1, "db1": dJ_db1, "dW2": dJ_dW2, "db2": dJ_db2, "dW3": dJ_dW3, "db3": dJ_db3,
            "loss": J_data + J_ridge}


def index_form(X, y, W1, b1, W2, b2, W3, b3):
    n, d = X.shape
    q = W1.shape[1]
    s = W2.shape[1]
    G1, G2, G3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)
    g1, g2, g3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    for i in range(n):
        u = np.tanh(W1.T @ X[i] + b1)
        v = logistic(W2.T @ u + b2)
        residual = logistic(v @ W3[:, 0] + b3[0]) - y[i, 0]
        g3[0] += residual
        for k in range(s):
            G3[k, 0] += residual * v[k]
        e2 = np.zeros(s)
        for k in range(s):
            e2[k] = residual * W3[k, 0] * v[k] * (1 - v[k])
            g2[k] += e2[k]
            for j in range(q):
                G2[j, k] += e2[k] * u[j]
        for j in range(q):
            back = 0.0
            for k in range(s):
                back += e2[k] * W2[j, k]
            e1 = back * (1 - u[j] * u[j])
            g1[j] += e1
            for a in range(d):
                G1[a, j] += e1 * X[i, a]
    for g in (G1, G2, G3, g1, g2, g3):
        g /= n
    G1 += LAM * W1
    G2 += LAM * W2
    G3 += LAM * W3
    return {"W1": G1, "b1": g1, "W2": G2, "b2": g2, "W3": G3, "b3": g3}


def intercepts_in_the_matrices(X, y, W1, b1, W2, b2, W3, b3):
    one = np.ones((len(X), 1))
    B1 = np.vstack([b1, W1])
    B2 = np.vstack([b2, W2])
    B3 = np.vstack([b3, W3])
    A0 = np.hstack([one, X])
    A1 = np.hstack([one, np.tanh(A0 @ B1)])
    A2 = np.hstack([one, logistic(A1 @ B2)])
    prob = logistic(A2 @ B3)
    P1, P2, P3 = LAM * B1, LAM * B2, LAM * B3
    for P in (P1, P2, P3):
        P[0] = 0
    R = prob - y
    D2 = (R @ B3[1:].T) * (A2 * (1 - A2))[:, 1:]
    D1 = (D2 @ B2[1:].T) * (1 - A1[:, 1:] ** 2)
    G3 = A2.T @ R / len(X) + P3
    G2 = A1.T @ D2 / len(X) + P2
    G1 = A0.T @ D1 / len(X) + P1
    return {"W1": G1[1:], "b1": G1[0], "W2": G2[1:], "b2": G2[0], "W3": G3[1:], "b3": G3[0]}


RIGHT = (matrix_deltas, every_differential, index_form, intercepts_in_the_matrices)

SLIPS = (
    Slip("second weights not transposed on the way back", matrix_deltas,
         ("delta1 = delta2 @ W2.T * (1 - H1 ** 2)", "delta1 = delta2 @ W2 * (1 - H1 ** 2)"),
         label=label("missing-transpose", "H1 Z2 W2", "matmul")),
    Slip("derivative of tanh taken at its own value", matrix_deltas,
         ("delta1 = delta2 @ W2.T * (1 - H1 ** 2)", "delta1 = delta2 @ W2.T * (1 - np.tanh(H1) ** 2)"),
         label=label("wrong-argument", "H1 Z1", "tanh")),
    Slip("sigmoid layer's derivative with the tanh layer's values", matrix_deltas,
         ("delta2 = delta3 @ W3.T * H2 * (1 - H2)", "delta2 = delta3 @ W3.T * H1 * (1 - H1)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "H2 Z2 H1", "sigmoid")),
    Slip("second bias averaged though delta holds the 1/m", matrix_deltas,
         ("db2 = delta2.sum(axis=0)", "db2 = delta2.mean(axis=0)"),
         label=label("scale", "b2 Z2", "add mean")),
    Slip("last weights go by the layer before", matrix_deltas,
         ("dW3 = H2.T @ delta3 + LAM * W3", "dW3 = H1.T @ delta3 + LAM * W3"),
         label=label("wrong-operand", "W3 H2 H1 Z3", "matmul")),
    Slip("no ridge on the first weights", matrix_deltas,
         ("dW1 = X.T @ delta1 + LAM * W1", "dW1 = X.T @ delta1"),
         label=label("missing-term dropped-path", "W1 J_ridge J", "square multiply sum add")),
    Slip("output's delta keeps a factor p(1-p)", matrix_deltas,
         ("delta3 = (p - y) / m", "delta3 = (p - y) * p * (1 - p) / m"),
         label=label("double-derivative", "p Z3 J_data ll", "sigmoid log")),
    Slip("first bias from the second layer's delta", matrix_deltas,
         ("db1 = delta1.sum(axis=0)", "db1 = delta2.sum(axis=0)"),
         label=label("wrong-operand swapped", "b1 b2 Z1 Z2", "add")),
    Slip("minus lost in the derivative of log(1-p)", every_differential,
         ("dJ_dp = ((1 - y) / (1 - p) - y / p) / m", "dJ_dp = (-(1 - y) / (1 - p) - y / p) / m"),
         label=label("sign", "p ll J_data", "log subtract multiply add negative")),
    Slip("only the observed ones in the cross entropy", every_differential,
         ("dJ_dp = ((1 - y) / (1 - p) - y / p) / m", "dJ_dp = -(y / p) / m"),
         label=label("dropped-path missing-term", "p ll", "log subtract multiply add")),
    Slip("output sigmoid not differentiated", every_differential,
         ("dJ_dZ3 = dJ_dp * dp_dZ3", "dJ_dZ3 = dJ_dp"),
         label=label("missing-local-derivative", "p Z3", "sigmoid")),
    Slip("sigmoid applied again before its derivative", every_differential,
         ("dH2_dZ2 = logistic(Z2) * (1 - logistic(Z2))", "dH2_dZ2 = logistic(H2) * (1 - logistic(H2))"),
         label=label("wrong-argument", "H2 Z2", "sigmoid")),
    Slip("tanh prime without the square", every_differential,
         ("dH1_dZ1 = 1 - np.tanh(Z1) ** 2", "dH1_dZ1 = 1 - np.tanh(Z1)"),
         label=label("wrong-local-rule", "H1 Z1", "tanh")),
    Slip("ridge subtracted from the second weights' gradient", every_differential,
         ("dJ_dW2 += LAM * W2", "dJ_dW2 -= LAM * W2"),
         label=label("sign", "W2 J_ridge J", "square multiply sum add")),
    Slip("ridge replaces the gradient of the last weights", every_differential,
         ("dJ_dW3 += LAM * W3", "dJ_dW3 = LAM * W3"),
         label=label("overwritten-accumulation dropped-path", "W3 Z3 H2", "matmul add")),
    Slip("ridge differentiated without the half everywhere", every_differential,
         ("dJ_dW1 += LAM * W1", "dJ_dW1 += 2 * LAM * W1"),
         ("dJ_dW2 += LAM * W2", "dJ_dW2 += 2 * LAM * W2"),
         ("dJ_dW3 += LAM * W3", "dJ_dW3 += 2 * LAM * W3"),
         label=label("scale", "W1 W2 W3 J_ridge J", "square multiply sum add")),
    Slip("tanh forgotten and second bias not summed but the first sample's", every_differential,
         ("dJ_dZ1 = dJ_dH1 * dH1_dZ1", "dJ_dZ1 = dJ_dH1"),
         ("dJ_db2 = np.sum(dJ_dZ2, axis=0)", "dJ_db2 = dJ_dZ2[0]"),
         label=label("two", "H1 Z1 b2 Z2", "tanh add")),
    Slip("observed minus fitted", index_form,
         ("residual = logistic(v @ W3[:, 0] + b3[0]) - y[i, 0]", "residual = y[i, 0] - logistic(v @ W3[:, 0] + b3[0])"),
         label=label("sign", "Z3 p ll J_data", "sigmoid log negative mean add subtract multiply")),
    Slip("indices of the second weights the wrong way round", index_form,
         ("back += e2[k] * W2[j, k]", "back += e2[k] * W2[k, j]"),
         label=label("missing-transpose", "H1 Z2 W2", "matmul")),
    Slip("sum over the second layer keeps its last term", index_form,
         ("back += e2[k] * W2[j, k]", "back = e2[k] * W2[j, k]"),
         label=label("overwritten-accumulation dropped-path", "H1 Z2 W2", "matmul")),
    Slip("first weights assigned per sample", index_form,
         ("G1[a, j] += e1 * X[i, a]", "G1[a, j] = e1 * X[i, a]"),
         label=label("overwritten-accumulation dropped-path", "W1 X Z1", "matmul")),
    Slip("biases not divided by the sample size", index_form,
         ("for g in (G1, G2, G3, g1, g2, g3):", "for g in (G1, G2, G3):"),
         label=label("scale", "b1 b2 b3 Z1 Z2 Z3 J_data", "add mean")),
    Slip("ridge on the last weights divided by n", index_form,
         ("G3 += LAM * W3", "G3 += LAM * W3 / n"),
         label=label("scale", "W3 J_ridge J", "square multiply sum add")),
    Slip("outgoing weight missing in the second layer's error", index_form,
         ("e2[k] = residual * W3[k, 0] * v[k] * (1 - v[k])", "e2[k] = residual * v[k] * (1 - v[k])"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "H2 Z3 W3 Z2", "matmul")),
    Slip("intercepts penalised as well", intercepts_in_the_matrices,
         ("P[0] = 0", "pass"),
         label=label("extra-term", "b1 b2 b3 J_ridge J", "square multiply sum add")),
    Slip("last row dropped where the intercept is the first", intercepts_in_the_matrices,
         ("D1 = (D2 @ B2[1:].T) * (1 - A1[:, 1:] ** 2)", "D1 = (D2 @ B2[:-1].T) * (1 - A1[:, 1:] ** 2)"),
         label=label("wrong-operand scatter", "H1 W2 Z2 b2", "matmul")),
    Slip("intercept column left in the derivative of the sigmoid", intercepts_in_the_matrices,
         ("D2 = (R @ B3[1:].T) * (A2 * (1 - A2))[:, 1:]", "D2 = (R @ B3[1:].T) * (A2 * (1 - A2))[:, :-1]"),
         label=label("wrong-argument wrong-local-rule wrong-operand scatter", "H2 Z2", "sigmoid")),
    Slip("first layer's gradient without the mean", intercepts_in_the_matrices,
         ("G1 = A0.T @ D1 / len(X) + P1", "G1 = A0.T @ D1 + P1"),
         label=label("scale", "W1 b1 Z1 H1 J_data", "matmul add tanh mean")),
)
