"""Counts with a rate per unit of exposure: a softplus layer, a log link, the mean deviance per exposure."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "w2", "b2")


def data(rng, dtype):
    return {"X": rng.normal(size=(9, 5)).astype(dtype), "W1": (0.6 * rng.normal(size=(5, 4))).astype(dtype),
            "b1": (0.4 * rng.normal(size=4)).astype(dtype), "w2": (0.6 * rng.normal(size=4)).astype(dtype),
            "b2": np.array(0.3 * rng.normal(), dtype), "exposure": rng.uniform(0.4, 3, size=9).astype(dtype),
            "k": np.array([0, 3, 1, 2, 5, 1, 0, 4, 2])}


def loss(X, W1, b1, w2, b2, exposure, k):
    z = X @ W1 + b1
    h = ad.softplus(z)
    f = np.dot(h, w2) + b2
    offset = np.log(exposure)
    eta = f + offset
    rate = np.exp(eta)
    nll = rate - k * eta
    total = nll.sum()
    loss = total / exposure.sum()
    return loss


def expit(z):
    return 1 / (1 + np.exp(-z))


def terse(X, W1, b1, w2, b2, exposure, k):
    z = X @ W1 + b1
    h = np.log1p(np.exp(z))
    r = exposure * np.exp(h @ w2 + b2)
    g = (r - k) / exposure.sum()
    G = np.outer(g, w2)
    G *= expit(z)
    return {"W1": X.T @ G, "b1": G.sum(0), "w2": h.T @ g, "b2": g.sum()}


def policy_by_policy(X, W1, b1, w2, b2, exposure, k):
    grad_W1 = np.zeros_like(W1)
    grad_b1 = np.zeros_like(b1)
    grad_w2 = np.zeros_like(w2)
    grad_b2 = 0.0
    years = exposure.sum()
    for x, e, count in zip(X, exposure, k, strict=True):
        z = x @ W1 + b1
        h = np.logaddexp(0, z)
        expected = e * np.exp(h @ w2 + b2)
        d_eta = (expected - count) / years
        grad_b2 += d_eta
        for j in range(len(w2)):
            grad_w2[j] += d_eta * h[j]
            d_z = d_eta * w2[j] * (1 - np.exp(-h[j]))
            grad_b1[j] += d_z
            grad_W1[:, j] += d_z * x
    return {"W1": grad_W1, "b1": grad_b1, "w2": grad_w2, "b2": grad_b2}


def all_the_nodes(X, W1, b1, w2, b2, exposure, k):
    Z = X.dot(W1) + b1
    S = expit(Z)
    H = np.log(1 + np.exp(Z))
    eta = H.dot(w2) + b2 + np.log(exposure)
    rate = np.exp(eta)
    L = (rate - k * eta).sum() / exposure.sum()
    dtotal = 1 / exposure.sum()
    dnll = dtotal * np.ones(len(k))
    drate = dnll
    deta = -k * dnll
    deta = deta + drate * rate
    df = deta
    db2 = df.sum()
    dw2 = (df[:, None] * H).sum(axis=0)
    dH = df[:, None] * w2[None, :]
    dZ = dH * S
    db1 = dZ.sum(axis=0)
    dW1 = X.T.dot(dZ)
    return {"loss": L, "eta": deta, "h": dH, "z": dZ, "w2": dw2, "b2": db2, "W1": dW1, "b1": db1}


def crude_rates(X, W1, b1, w2, b2, exposure, k):
    z = np.einsum("nd,dh->nh", X, W1) + b1
    h = np.logaddexp(z, 0)
    share = exposure / np.sum(exposure)
    crude = k / exposure
    fitted = np.exp(h @ w2 + b2)
    excess = share * (fitted - crude)
    slope = 1 / (1 + np.exp(-z))
    back = np.einsum("n,h,nh->nh", excess, w2, slope)
    return {"dW1": np.einsum("nd,nh->dh", X, back), "db1": np.einsum("nh->h", back),
            "dw2": np.einsum("n,nh->h", excess, h), "db2": np.sum(excess)}


RIGHT = (terse, policy_by_policy, all_the_nodes, crude_rates)

SLIPS = (
    Slip("exposure left out of the rate", terse,
         ("r = exposure * np.exp(h @ w2 + b2)", "r = np.exp(h @ w2 + b2)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "rate eta f offset exposure", "exp add")),
    Slip("offset divided instead of multiplied", terse,
         ("r = exposure * np.exp(h @ w2 + b2)", "r = np.exp(h @ w2 + b2) / exposure"),
         label=label("wrong-argument wrong-operand wrong-local-rule sign", "rate eta f offset exposure",
                     "exp add")),
    Slip("averaged over policies instead of exposure", terse,
         ("g = (r - k) / exposure.sum()", "g = (r - k) / len(k)"),
         label=label("scale wrong-operand", "loss total nll eta f", "divide sum")),
    Slip("each residual by its own exposure", terse,
         ("g = (r - k) / exposure.sum()", "g = (r - k) / exposure / len(k)"),
         label=label("wrong-operand wrong-local-rule two", "loss total nll eta f exposure", "divide sum")),
    Slip("softplus' taken at h", terse, ("G *= expit(z)", "G *= expit(h)"),
         label=label("wrong-argument", "z h", "softplus")),
    Slip("softplus' as the derivative of the sigmoid", terse, ("G *= expit(z)", "G *= expit(z) * (1 - expit(z))"),
         label=label("wrong-local-rule double-derivative", "z h", "softplus")),
    Slip("softplus treated as relu on the way back", terse, ("G *= expit(z)", "G *= z > 0"),
         label=label("wrong-local-rule", "z h", "softplus")),
    Slip("observed minus expected", policy_by_policy,
         ("d_eta = (expected - count) / years", "d_eta = (count - expected) / years"),
         label=label("sign", "loss total nll eta f", "subtract sum divide add")),
    Slip("softplus' as exp(-h) without its one minus", policy_by_policy,
         ("d_z = d_eta * w2[j] * (1 - np.exp(-h[j]))", "d_z = d_eta * w2[j] * np.exp(-h[j])"),
         label=label("wrong-local-rule wrong-argument", "z h", "softplus")),
    Slip("first layer's bias keeps the last policy", policy_by_policy,
         ("grad_b1[j] += d_z", "grad_b1[j] = d_z"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "b1 z", "add")),
    Slip("readout's gradient from z", policy_by_policy,
         ("grad_w2[j] += d_eta * h[j]", "grad_w2[j] += d_eta * z[j]"),
         label=label("wrong-operand wrong-argument", "w2 h z f", "matmul")),
    Slip("always the first readout weight", policy_by_policy,
         ("d_z = d_eta * w2[j] * (1 - np.exp(-h[j]))", "d_z = d_eta * w2[0] * (1 - np.exp(-h[j]))"),
         label=label("wrong-operand", "h w2 f", "matmul")),
    Slip("readout's bias left out when refitting the rate", policy_by_policy,
         ("expected = e * np.exp(h @ w2 + b2)", "expected = e * np.exp(h @ w2)"),
         label=label("wrong-argument wrong-operand", "rate eta f b2", "exp add")),
    Slip("log likelihood's count term forgotten", all_the_nodes, ("deta = -k * dnll", "deta = 0 * dnll"),
         label=label("dropped-path missing-term", "eta nll k", "multiply subtract")),
    Slip("rate's part overwrites the count's", all_the_nodes,
         ("deta = deta + drate * rate", "deta = drate * rate"),
         label=label("overwritten-accumulation dropped-path missing-term", "eta nll rate k", "multiply subtract exp")),
    Slip("exp passed through as if linear", all_the_nodes,
         ("deta = deta + drate * rate", "deta = deta + drate"),
         label=label("missing-local-derivative", "rate eta", "exp")),
    Slip("exp' as eta times exp", all_the_nodes,
         ("deta = deta + drate * rate", "deta = deta + drate * eta * rate"),
         label=label("wrong-local-rule", "rate eta", "exp")),
    Slip("count term with a plus", all_the_nodes, ("deta = -k * dnll", "deta = k * dnll"),
         label=label("sign", "eta nll k", "multiply subtract")),
    Slip("mean of the readout's bias", all_the_nodes, ("db2 = df.sum()", "db2 = df.mean()"),
         label=label("scale missing-broadcast-reduction", "b2 f", "add")),
    Slip("activation slope forgotten for W1 only", all_the_nodes, ("dW1 = X.T.dot(dZ)", "dW1 = X.T.dot(dH)"),
         label=label("missing-local-derivative wrong-operand", "W1 z h", "matmul softplus")),
    Slip("readout's weight forgotten going to the hidden units", all_the_nodes,
         ("dH = df[:, None] * w2[None, :]", "dH = df[:, None] * np.ones_like(w2)"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "h f w2", "matmul")),
    Slip("counts not turned into rates", crude_rates, ("crude = k / exposure", "crude = k"),
         label=label("wrong-operand wrong-local-rule missing-local-derivative", "eta nll k exposure",
                     "multiply subtract")),
    Slip("squared error's residual times the link's slope", crude_rates,
         ("excess = share * (fitted - crude)", "excess = share * fitted * (fitted - crude)"),
         label=label("double-derivative wrong-local-rule", "eta rate f nll", "exp")),
    Slip("slope of tanh for softplus", crude_rates,
         ("slope = 1 / (1 + np.exp(-z))", "slope = 1 - h ** 2"),
         label=label("wrong-local-rule", "z h", "softplus")),
    Slip("share forgotten and slope's exponent without its minus", crude_rates,
         ("excess = share * (fitted - crude)", "excess = (fitted - crude) / len(k)"),
         ("slope = 1 / (1 + np.exp(-z))", "slope = 1 / (1 + np.exp(z))"),
         label=label("two", "loss total nll eta f exposure z h", "divide sum exp softplus")),
)
