"""Counts with exposure: a softplus layer, the exponential link, Poisson negative log likelihood."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("A", "a0", "v", "v0")


def data(rng, dtype):
    values = {"X": rng.normal(size=(8, 5)), "exposure": rng.uniform(0.4, 2.5, size=8),
              "A": 0.6 * rng.normal(size=(3, 5)), "a0": rng.normal(size=3),
              "v": 0.6 * rng.normal(size=3)}
    values = {name: value.astype(dtype) for name, value in values.items()}
    return {**values, "counts": np.array([0, 3, 1, 0, 5, 2, 1, 4], dtype=np.int64), "v0": dtype(0.2)}


def loss(X, counts, exposure, A, a0, v, v0):
    pre = np.einsum("ni,hi->nh", X, A) + a0
    h = ad.softplus(pre)
    eta = h @ v + v0
    log_mu = eta + np.log(exposure)
    mu = np.exp(log_mu)
    nll = mu - counts * log_mu
    cost = np.mean(nll)
    return cost


def glm(X, counts, exposure, A, a0, v, v0):
    pre = X @ A.T + a0
    h = np.log1p(np.exp(pre))
    eta = h @ v + v0
    mu = exposure * np.exp(eta)
    score = mu - counts
    score = score / len(counts)
    dv = h.T @ score
    dv0 = score.sum()
    dh = np.outer(score, v)
    dpre = dh / (1 + np.exp(-pre))
    dA = dpre.T @ X
    da0 = dpre.sum(axis=0)
    return {"A": dA, "a0": da0, "v": dv, "v0": dv0, "pre": dpre, "h": dh, "eta": score}


def long_way(X, counts, exposure, A, a0, v, v0):
    """Through the rate: d nll / d mu first, then the link."""
    n = X.shape[0]
    pre = np.einsum("ni,hi->nh", X, A) + a0
    hidden = np.logaddexp(0, pre)
    linear = np.einsum("nh,h->n", hidden, v) + v0
    rate = np.exp(linear)
    mu = rate * exposure
    d_nll = np.ones(n) / n
    d_mu = d_nll * (1 - counts / mu)
    d_rate = d_mu * exposure
    d_linear = d_rate * rate
    d_v = np.einsum("n,nh->h", d_linear, hidden)
    d_v0 = np.einsum("n->", d_linear)
    d_hidden = np.einsum("n,h->nh", d_linear, v)
    expit = 1 / (1 + np.exp(-pre))
    d_pre = np.einsum("nh,nh->nh", d_hidden, expit)
    d_A = np.einsum("nh,ni->hi", d_pre, X)
    d_a0 = np.einsum("nh->h", d_pre)
    return {"dA": d_A, "da0": d_a0, "dv": d_v, "dv0": d_v0}


def one_policy_at_a_time(X, counts, exposure, A, a0, v, v0):
    n = len(counts)
    acc_A = np.zeros(A.shape)
    acc_a0 = np.zeros(a0.shape)
    acc_v = np.zeros(v.shape)
    acc_v0 = 0.0
    for i in range(n):
        z = A @ X[i] + a0
        s = np.log1p(np.exp(z))
        offset = np.log(exposure[i])
        log_mean = np.dot(v, s) + v0 + offset
        expected = np.exp(log_mean)
        diff = expected - counts[i]
        acc_v += diff * s
        acc_v0 += diff
        slope = np.exp(z) / (1 + np.exp(z))
        back = diff * v * slope
        acc_a0 += back
        acc_A += np.outer(back, X[i])
    return {"A": acc_A / n, "a0": acc_a0 / n, "v": acc_v / n, "v0": acc_v0 / n}


def two_sums(X, counts, exposure, A, a0, v, v0):
    """The expected part minus the observed part."""
    Z = A @ X.T + a0[:, None]
    S = np.logaddexp(0, Z)
    lam = np.exp(v @ S + v0) * exposure
    D = v[:, None] / (1 + np.exp(-Z))
    m = lam.size
    g_v = S @ lam - S @ counts
    g_v0 = lam.sum() - counts.sum()
    g_A = (D * lam) @ X - (D * counts) @ X
    g_a0 = D @ lam - D @ counts
    return {"A": g_A / m, "a0": g_a0 / m, "v": g_v / m, "v0": g_v0 / m}


RIGHT = (glm, long_way, one_policy_at_a_time, two_sums)

SLIPS = (
    Slip("left the exposure out of the mean", glm, ("mu = exposure * np.exp(eta)", "mu = np.exp(eta)")),
    Slip("added the exposure to the predictor without its log", glm,
         ("mu = exposure * np.exp(eta)", "mu = np.exp(eta + exposure)")),
    Slip("forgot the exponential: linear predictor minus counts", glm,
         ("score = mu - counts", "score = eta - counts")),
    Slip("counts minus mean", glm, ("score = mu - counts", "score = counts - mu")),
    Slip("divided by the total exposure instead of the number of rows", glm,
         ("score = score / len(counts)", "score = score / exposure.sum()")),
    Slip("softplus' own value in place of its derivative", glm,
         ("dpre = dh / (1 + np.exp(-pre))", "dpre = dh * h")),
    Slip("sigmoid with the wrong sign in the exponent in softplus'", glm,
         ("dpre = dh / (1 + np.exp(-pre))", "dpre = dh / (1 + np.exp(pre))")),
    Slip("v's gradient with the pre-activations instead of the hidden values", glm,
         ("dv = h.T @ score", "dv = pre.T @ score")),
    Slip("intercept's score averaged again", glm, ("dv0 = score.sum()", "dv0 = score.mean()")),
    Slip("exponential link not differentiated", long_way, ("d_linear = d_rate * rate", "d_linear = d_rate")),
    Slip("exposure missing in the chain from mu to the rate", long_way,
         ("d_rate = d_mu * exposure", "d_rate = d_mu")),
    Slip("derivative of the log left out: 1 - counts", long_way,
         ("d_mu = d_nll * (1 - counts / mu)", "d_mu = d_nll * (1 - counts)")),
    Slip("counts over the rate per unit of exposure", long_way,
         ("d_mu = d_nll * (1 - counts / mu)", "d_mu = d_nll * (1 - counts / rate)")),
    Slip("tanh' where softplus' belongs", long_way,
         ("expit = 1 / (1 + np.exp(-pre))", "expit = 1 - np.tanh(pre) ** 2")),
    Slip("sigmoid's derivative instead of the sigmoid for the softplus", long_way,
         ("d_pre = np.einsum(\"nh,nh->nh\", d_hidden, expit)",
          "d_pre = np.einsum(\"nh,nh->nh\", d_hidden, expit * (1 - expit))")),
    Slip("multiplied the residual by the mean, as for squared error", one_policy_at_a_time,
         ("diff = expected - counts[i]", "diff = (expected - counts[i]) * expected")),
    Slip("forgot v between the residual and the hidden layer", one_policy_at_a_time,
         ("back = diff * v * slope", "back = diff * slope")),
    Slip("kept only the last row's gradient of A", one_policy_at_a_time,
         ("acc_A += np.outer(back, X[i])", "acc_A = np.outer(back, X[i])")),
    Slip("weighted v0's residuals by the exposure once more", one_policy_at_a_time,
         ("acc_v0 += diff", "acc_v0 += diff * exposure[i]")),
    Slip("forgot the observed part of a0's gradient", two_sums,
         ("g_a0 = D @ lam - D @ counts", "g_a0 = D @ lam")),
    Slip("observed part of A added instead of subtracted", two_sums,
         ("g_A = (D * lam) @ X - (D * counts) @ X", "g_A = (D * lam) @ X + (D * counts) @ X")),
    Slip("no intercept in the rate, and v not in softplus' chain", two_sums,
         ("lam = np.exp(v @ S + v0) * exposure", "lam = np.exp(v @ S) * exposure"),
         ("D = v[:, None] / (1 + np.exp(-Z))", "D = 1 / (1 + np.exp(-Z))")),
)
