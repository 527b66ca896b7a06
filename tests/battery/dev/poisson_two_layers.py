"""Counts from a swish layer and a softplus link, an offset for each sample, Poisson likelihood; samples in rows."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "w2", "b2")


def data(rng, dtype):
    counts = rng.poisson(2.5, size=8)
    counts[3], counts[6] = 0, 3
    return {"x": rng.normal(size=(8, 4)).astype(dtype), "y": counts.astype(dtype),
            "offset": (0.7 * rng.normal(size=8)).astype(dtype), "W1": (0.6 * rng.normal(size=(4, 5))).astype(dtype),
            "b1": (0.5 * rng.normal(size=5)).astype(dtype), "w2": (0.7 * rng.normal(size=5)).astype(dtype),
            "b2": np.asarray(0.4 + 0.2 * rng.normal(), dtype)}


def loss(x, y, offset, W1, b1, w2, b2):
    z1 = x @ W1 + b1
    s = 1 / (1 + np.exp(-z1))
    h = z1 * s
    eta = h @ w2 + b2 + offset
    rate = np.log1p(np.exp(eta))
    log_rate = np.log(rate)
    nll = rate - y * log_rate
    loss = nll.sum() / len(y)
    return loss


def straight(x, y, offset, W1, b1, w2, b2):
    n = len(y)
    z1 = x @ W1 + b1
    s = 1 / (1 + np.exp(-z1))
    h = z1 * s
    eta = h @ w2 + b2 + offset
    rate = np.log1p(np.exp(eta))
    dnll = np.full(n, 1 / n, x.dtype)
    drate = dnll * (1 - y / rate)
    deta = drate / (1 + np.exp(-eta))
    dw2 = h.T @ deta
    db2 = deta.sum()
    dh = np.outer(deta, w2)
    ds = dh * z1
    dz1 = dh * s
    dz1 = dz1 + ds * s * (1 - s)
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "w2": dw2, "b2": db2, "eta": deta, "z1": dz1}


def score_columns(x, y, offset, W1, b1, w2, b2):
    N = x.shape[0]
    pre = x @ W1 + b1
    gate = 1 / (1 + np.exp(-pre))
    act = pre * gate
    eta = act @ w2[:, None] + b2 + offset[:, None]
    lam = np.logaddexp(0, eta)
    score = (1 - y[:, None] / lam) * (1 - np.exp(-lam))
    score = score.sum(axis=1) / N
    g_w2 = score @ act
    g_b2 = np.sum(score)
    slope = gate + act * (1 - gate)
    g_pre = score[:, None] * w2 * slope
    g_W1 = x.T @ g_pre
    g_b1 = g_pre.sum(0)
    return {"dW1": g_W1, "db1": g_b1, "dw2": g_w2, "db2": g_b2}


def each_observation(x, y, offset, W1, b1, w2, b2):
    gW1, gb1 = np.zeros(W1.shape, x.dtype), np.zeros(b1.shape, x.dtype)
    gw2, gb2 = np.zeros(w2.shape, x.dtype), 0.0
    n, hidden = x.shape[0], W1.shape[1]
    for i in range(n):
        z = W1.T @ x[i] + b1
        sig = 1 / (1 + np.exp(-z))
        lin = w2 @ (z * sig) + b2
        lin = lin + offset[i]
        mean = np.log(1 + np.exp(lin))
        dmean = 1 - y[i] / mean
        dlin = dmean * np.exp(lin) / (1 + np.exp(lin))
        gb2 += dlin
        for j in range(hidden):
            gw2[j] += dlin * z[j] * sig[j]
            dz = dlin * w2[j] * sig[j] * (1 + z[j] * (1 - sig[j]))
            gb1[j] += dz
            gW1[:, j] += dz * x[i]
    return {"W1": gW1 / n, "b1": gb1 / n, "w2": gw2 / n, "b2": gb2 / n}


def two_halves(x, y, offset, W1, b1, w2, b2):
    m = y.size
    a = x @ W1 + b1
    e = np.exp(-a)
    h = a / (1 + e)
    eta = h @ w2 + b2 + offset
    mu = np.logaddexp(eta, 0)
    link = np.exp(eta - mu)
    from_rate = link
    from_log = -y * link / mu
    r = (from_rate + from_log) / m
    grad_w2 = np.einsum("n,nh->h", r, h)
    grad_b2 = np.einsum("n->", r)
    grad_h = np.einsum("n,h->nh", r, w2)
    grad_a = grad_h / (1 + e)
    grad_a += grad_h * a * e / (1 + e) ** 2
    grad_W1 = np.einsum("ni,nh->ih", x, grad_a)
    grad_b1 = np.einsum("nh->h", grad_a)
    return {"W1": grad_W1, "b1": grad_b1, "w2": grad_w2, "b2": grad_b2}


RIGHT = (straight, score_columns, each_observation, two_halves)

SLIPS = (
    Slip("the residual of the log link, rate minus count", straight,
         ("deta = drate / (1 + np.exp(-eta))", "deta = (rate - y) / n")),
    Slip("the derivative of the softplus left out", straight,
         ("deta = drate / (1 + np.exp(-eta))", "deta = drate")),
    Slip("softplus' at the rate", straight,
         ("deta = drate / (1 + np.exp(-eta))", "deta = drate / (1 + np.exp(-rate))")),
    Slip("the slope of the sigmoid for that of the softplus", straight,
         ("deta = drate / (1 + np.exp(-eta))", "deta = drate * np.exp(-eta) / (1 + np.exp(-eta)) ** 2")),
    Slip("one plus exp(eta), without the minus", straight,
         ("deta = drate / (1 + np.exp(-eta))", "deta = drate / (1 + np.exp(eta))")),
    Slip("forgot the derivative of the log", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * (1 - y)")),
    Slip("only the log's part of the likelihood", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * (-y / rate)")),
    Slip("the log's part with a plus", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * (1 + y / rate)")),
    Slip("divided by exp(eta), the rate of a log link", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * (1 - y / np.exp(eta))")),
    Slip("skipped the samples without any count", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * np.where(y > 0, 1 - y / rate, 0)")),
    Slip("kept small rates away from zero before dividing", straight,
         ("drate = dnll * (1 - y / rate)", "drate = dnll * (1 - y / np.maximum(rate, 1))")),
    Slip("averaged over the counts", straight, ("n = len(y)", "n = int(y.sum())"),
         ("dnll = np.full(n, 1 / n, x.dtype)", "dnll = np.full(len(y), 1 / n, x.dtype)")),
    Slip("the offset forgotten when eta was computed again", straight,
         ("eta = h @ w2 + b2 + offset", "eta = h @ w2 + b2")),
    Slip("the offset outside the link, as an exposure", straight,
         ("rate = np.log1p(np.exp(eta))", "rate = np.log1p(np.exp(eta - offset)) * np.exp(offset)")),
    Slip("the gate of the swish held fixed", straight, ("dz1 = dz1 + ds * s * (1 - s)", "")),
    Slip("the gate's part overwrites the direct one", straight,
         ("dz1 = dz1 + ds * s * (1 - s)", "dz1 = ds * s * (1 - s)")),
    Slip("the gate's part without the sigmoid's derivative", straight,
         ("dz1 = dz1 + ds * s * (1 - s)", "dz1 = dz1 + ds")),
    Slip("multiplied z1 by the gate in place", straight, ("h = z1 * s", "h = z1\nh *= s")),
    Slip("ds from the output of the swish", straight, ("ds = dh * z1", "ds = dh * h")),
    Slip("b1 before the swish was undone", straight, ("db1 = dz1.sum(axis=0)", "db1 = dh.sum(axis=0)")),
    Slip("w2 from the pre-activations", straight, ("dw2 = h.T @ deta", "dw2 = z1.T @ deta")),
    Slip("b2 the mean over the samples once more", straight, ("db2 = deta.sum()", "db2 = deta.mean()")),
    Slip("the counts not made a column, so each rate meets each count", score_columns,
         ("score = (1 - y[:, None] / lam) * (1 - np.exp(-lam))", "score = (1 - y / lam) * (1 - np.exp(-lam))")),
    Slip("one plus exp(-lam) for the link's slope", score_columns,
         ("score = (1 - y[:, None] / lam) * (1 - np.exp(-lam))",
          "score = (1 - y[:, None] / lam) * (1 + np.exp(-lam))")),
    Slip("the link's slope on the count's part only", score_columns,
         ("score = (1 - y[:, None] / lam) * (1 - np.exp(-lam))", "score = 1 - y[:, None] / lam * (1 - np.exp(-lam))")),
    Slip("the swish's slope without the gate in its second part", score_columns,
         ("slope = gate + act * (1 - gate)", "slope = gate + pre * (1 - gate)")),
    Slip("the swish's slope with one minus the activation", score_columns,
         ("slope = gate + act * (1 - gate)", "slope = gate + act * (1 - act)")),
    Slip("the slope of a ReLU instead of the swish's", score_columns,
         ("slope = gate + act * (1 - gate)", "slope = (pre > 0) * 1.0")),
    Slip("the offset as a row, so it was added across", score_columns,
         ("eta = act @ w2[:, None] + b2 + offset[:, None]",
          "eta = act @ w2[:, None] + b2 + offset")),
    Slip("the count of the observation before", each_observation,
         ("dmean = 1 - y[i] / mean", "dmean = 1 - y[i - 1] / mean")),
    Slip("the offset piles up from sample to sample", each_observation,
         ("lin = lin + offset[i]", "lin = lin + offset[:i + 1].sum()")),
    Slip("the offset added to the derivative's exponent a second time", each_observation,
         ("dlin = dmean * np.exp(lin) / (1 + np.exp(lin))",
          "dlin = dmean * np.exp(lin + offset[i]) / (1 + np.exp(lin + offset[i]))")),
    Slip("exp(eta) as the softplus' derivative", each_observation,
         ("dlin = dmean * np.exp(lin) / (1 + np.exp(lin))", "dlin = dmean * np.exp(lin)")),
    Slip("w2 with the gate of the unit before", each_observation,
         ("gw2[j] += dlin * z[j] * sig[j]", "gw2[j] += dlin * z[j] * sig[j - 1]")),
    Slip("the last unit's gate for all units", each_observation,
         ("dz = dlin * w2[j] * sig[j] * (1 + z[j] * (1 - sig[j]))",
          "dz = dlin * w2[j] * sig[j] * (1 + z[j] * (1 - sig[-1]))")),
    Slip("the columns of W1 are set, not added to", each_observation,
         ("gW1[:, j] += dz * x[i]", "gW1[:, j] = dz * x[i]")),
    Slip("the inner loop starts at the second unit", each_observation,
         ("for j in range(hidden):", "for j in range(1, hidden):")),
    Slip("b2 not divided by n at the end", each_observation,
         ('return {"W1": gW1 / n, "b1": gb1 / n, "w2": gw2 / n, "b2": gb2 / n}',
          'return {"W1": gW1 / n, "b1": gb1 / n, "w2": gw2 / n, "b2": gb2}')),
    Slip("the log's half stopped at the rate", two_halves, ("from_log = -y * link / mu", "from_log = -y / mu")),
    Slip("the mean on the second half only", two_halves,
         ("r = (from_rate + from_log) / m", "r = from_rate + from_log / m")),
    Slip("the gate's half with a minus, as the exponent has one", two_halves,
         ("grad_a += grad_h * a * e / (1 + e) ** 2", "grad_a -= grad_h * a * e / (1 + e) ** 2")),
    Slip("the gate's half without the exponential's own derivative", two_halves,
         ("grad_a += grad_h * a * e / (1 + e) ** 2", "grad_a += grad_h * a / (1 + e) ** 2")),
    Slip("the gate's half fixed, and the rate missing under the count", two_halves,
         ("grad_a += grad_h * a * e / (1 + e) ** 2", ""), ("from_log = -y * link / mu", "from_log = -y * link")),
)
