"""A small variational autoencoder: tanh encoder, reparametrised code, Bernoulli decoder on logits."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("We", "be", "Wm", "Wv", "Wd", "bd")


def data(rng, dtype):
    def normal(*shape):
        return (0.6 * rng.normal(size=shape)).astype(dtype)
    return {"x": (rng.uniform(size=(7, 6)) < 0.5).astype(dtype), "noise": normal(7, 2), "We": normal(6, 4),
            "be": normal(4), "Wm": normal(4, 2), "Wv": normal(4, 2), "Wd": normal(2, 6), "bd": normal(6)}


def loss(x, noise, We, be, Wm, Wv, Wd, bd):
    B = x.shape[0]
    h = np.tanh(x @ We + be)
    mu = h @ Wm
    logvar = h @ Wv
    sigma = np.exp(logvar / 2)
    z = mu + sigma * noise
    logits = z @ Wd + bd
    rec = np.sum(ad.softplus(logits) - x * logits) / B
    kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - logvar - 1) / B
    elbo_loss = rec + kl
    return elbo_loss


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def verbose(x, noise, We, be, Wm, Wv, Wd, bd):
    B = x.shape[0]
    h = np.tanh(x @ We + be)
    mu = h @ Wm
    logvar = h @ Wv
    sigma = np.exp(logvar / 2)
    z = mu + sigma * noise
    dlogits = (sigmoid(z @ Wd + bd) - x) / B
    dWd = z.T @ dlogits
    dbd = dlogits.sum(0)
    dz = dlogits @ Wd.T
    dmu = dz.copy()
    dsigma = dz * noise
    dlogvar = dsigma * sigma / 2
    dmu += mu / B
    dlogvar += 0.5 * (np.exp(logvar) - 1) / B
    dWm = h.T @ dmu
    dWv = h.T @ dlogvar
    dh = dmu @ Wm.T
    dh += dlogvar @ Wv.T
    dpre = dh * (1 - h ** 2)
    dWe = x.T @ dpre
    dbe = dpre.sum(0)
    return {"We": dWe, "be": dbe, "Wm": dWm, "Wv": dWv, "Wd": dWd, "bd": dbd, "mu": dmu, "logvar": dlogvar}


def two_losses(x, noise, We, be, Wm, Wv, Wd, bd):
    n = len(x)
    h = np.tanh(x @ We + be)
    mu, s2 = h @ Wm, np.exp(h @ Wv)
    z = mu + np.sqrt(s2) * noise
    err = sigmoid(z @ Wd + bd) - x
    g_z = err @ Wd.T
    rec_mu = g_z
    rec_lv = 0.5 * g_z * (z - mu)
    kl_mu = mu
    kl_lv = 0.5 * (s2 - 1)
    g_mu = (rec_mu + kl_mu) / n
    g_lv = (rec_lv + kl_lv) / n
    g_pre = (1 - h * h) * (g_mu @ Wm.T + g_lv @ Wv.T)
    return {"dWe": x.T @ g_pre, "dbe": g_pre.sum(axis=0), "dWm": h.T @ g_mu, "dWv": h.T @ g_lv,
            "dWd": z.T @ err / n, "dbd": err.mean(axis=0)}


def row_loop(x, noise, We, be, Wm, Wv, Wd, bd):
    total = {k: np.zeros_like(v) for k, v in (("We", We), ("be", be), ("Wm", Wm), ("Wv", Wv), ("Wd", Wd), ("bd", bd))}
    for xi, ei in zip(x, noise):
        hi = np.tanh(xi @ We + be)
        m, lv = hi @ Wm, hi @ Wv
        std = np.exp(0.5 * lv)
        zi = m + std * ei
        r = sigmoid(zi @ Wd + bd) - xi
        gz = Wd @ r
        gm = gz + m
        glv = 0.5 * gz * ei * std + 0.5 * (std ** 2 - 1)
        ga = (Wm @ gm + Wv @ glv) * (1 - hi ** 2)
        total["Wd"] += np.outer(zi, r)
        total["bd"] += r
        total["Wm"] += np.outer(hi, gm)
        total["Wv"] += np.outer(hi, glv)
        total["We"] += np.outer(xi, ga)
        total["be"] += ga
    return {k: v / len(x) for k, v in total.items()}


RIGHT = (verbose, two_losses, row_loop)

SLIPS = (
    Slip("mu lacks the KL's part", verbose, ("dmu += mu / B", ""),
         label=label("missing-term dropped-path", "mu kl", "square sum")),
    Slip("KL overwrites the reconstruction at logvar", verbose,
         ("dlogvar += 0.5 * (np.exp(logvar) - 1) / B", "dlogvar = 0.5 * (np.exp(logvar) - 1) / B"),
         label=label("overwritten-accumulation dropped-path", "logvar sigma z kl", "exp divide multiply")),
    Slip("half forgotten in sigma's derivative", verbose,
         ("dlogvar = dsigma * sigma / 2", "dlogvar = dsigma * sigma"),
         label=label("scale", "sigma logvar", "divide exp multiply")),
    Slip("noise forgotten at sigma", verbose, ("dsigma = dz * noise", "dsigma = dz"),
         label=label("missing-local-derivative wrong-operand", "sigma z noise", "multiply")),
    Slip("KL at mu not averaged", verbose, ("dmu += mu / B", "dmu += mu"),
         label=label("scale", "mu kl", "square sum divide multiply")),
    Slip("KL as if logvar were sigma", verbose,
         ("dlogvar += 0.5 * (np.exp(logvar) - 1) / B", "dlogvar += (sigma - 1 / sigma) / B"),
         label=label("wrong-argument wrong-local-rule", "logvar kl sigma", "exp subtract")),
    Slip("h only through mu", verbose, ("dh += dlogvar @ Wv.T", ""),
         label=label("dropped-path", "h logvar Wv", "matmul")),
    Slip("Wd from mu in place of z", verbose, ("dWd = z.T @ dlogits", "dWd = mu.T @ dlogits"),
         label=label("wrong-operand", "Wd logits z mu", "matmul")),
    Slip("sampling treated as constant for logvar", two_losses,
         ("g_lv = (rec_lv + kl_lv) / n", "g_lv = kl_lv / n"),
         label=label("treated-as-constant dropped-path missing-term", "logvar sigma z", "exp multiply add divide")),
    Slip("minus KL at logvar", two_losses, ("kl_lv = 0.5 * (s2 - 1)", "kl_lv = 0.5 * (1 - s2)"),
         label=label("sign", "logvar kl", "exp subtract sum multiply add")),
    Slip("the -1 from log forgotten in the KL", two_losses, ("kl_lv = 0.5 * (s2 - 1)", "kl_lv = 0.5 * s2"),
         label=label("dropped-path missing-term", "logvar kl", "subtract")),
    Slip("two in front of mu in the KL", two_losses, ("kl_mu = mu", "kl_mu = 2 * mu"),
         label=label("scale", "mu kl", "square multiply sum divide")),
    Slip("tanh' in the wrong form", two_losses,
         ("g_pre = (1 - h * h) * (g_mu @ Wm.T + g_lv @ Wv.T)", "g_pre = (1 - h) * (g_mu @ Wm.T + g_lv @ Wv.T)"),
         label=label("wrong-local-rule", "h", "tanh")),
    Slip("Wm and Wv swapped going back", two_losses,
         ("g_pre = (1 - h * h) * (g_mu @ Wm.T + g_lv @ Wv.T)",
          "g_pre = (1 - h * h) * (g_mu @ Wv.T + g_lv @ Wm.T)"),
         label=label("swapped wrong-operand", "h mu logvar Wm Wv", "matmul")),
    Slip("variance for std in the sampling path", row_loop,
         ("glv = 0.5 * gz * ei * std + 0.5 * (std ** 2 - 1)", "glv = 0.5 * gz * ei * std ** 2 + 0.5 * (std ** 2 - 1)"),
         label=label("wrong-argument wrong-local-rule wrong-operand double-derivative", "logvar sigma z",
                     "exp multiply divide")),
    Slip("std not squared in the KL", row_loop,
         ("glv = 0.5 * gz * ei * std + 0.5 * (std ** 2 - 1)", "glv = 0.5 * gz * ei * std + 0.5 * (std - 1)"),
         label=label("wrong-argument wrong-local-rule", "logvar kl", "exp subtract")),
    Slip("sigmoid derived again at the logits", row_loop,
         ("gz = Wd @ r", "gz = Wd @ (r * (r + xi) * (1 - r - xi))"),
         label=label("double-derivative", "logits rec z", "softplus matmul subtract")),
    Slip("Wv copied from Wm's line, encoder's bias overwritten", row_loop,
         ('total["Wv"] += np.outer(hi, glv)', 'total["Wv"] += np.outer(hi, gm)'),
         ('total["be"] += ga', 'total["be"] = ga'),
         label=label("two", "Wv logvar mu Wm be h", "matmul add")),
)
