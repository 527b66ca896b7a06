"""A variational autoencoder: Gaussian latent with given noise, squared error of the decoder, beta times the KL."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("We", "be", "Wm", "bm", "Ws", "bs", "Wd", "bd", "Wo", "bo")

BETA = 0.3


def data(rng, dtype):
    shapes = {"x": (8, 5), "eps": (8, 2), "We": (5, 6), "be": (6,), "Wm": (6, 2), "bm": (2,), "Ws": (6, 2),
              "bs": (2,), "Wd": (2, 4), "bd": (4,), "Wo": (4, 5), "bo": (5,)}
    leaves = {k: rng.normal(size=s) * (0.5 if k[0] in "Wb" else 1) for k, s in shapes.items()}
    return {k: v.astype(dtype) for k, v in leaves.items()}


def loss(x, eps, We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo):
    n = len(x)
    h = np.tanh(x @ We + be)
    mu = h @ Wm + bm
    logvar = h @ Ws + bs
    sigma = np.exp(0.5 * logvar)
    z = mu + sigma * eps
    d = np.maximum(z @ Wd + bd, 0)
    xr = d @ Wo + bo
    recon = 0.5 * np.sum((xr - x) ** 2) / n
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar)) / n
    elbo = recon + BETA * kl
    return elbo


def compact(x, eps, We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo):
    n = len(x)
    h = np.tanh(x @ We + be)
    mu, lv = h @ Wm + bm, h @ Ws + bs
    sd = np.exp(lv / 2)
    z = mu + sd * eps
    u = z @ Wd + bd
    d = np.maximum(u, 0)
    dxr = (d @ Wo + bo - x) / n
    dWo, dbo = d.T @ dxr, dxr.sum(0)
    du = (u > 0) * (dxr @ Wo.T)
    dWd, dbd = z.T @ du, du.sum(0)
    dz = du @ Wd.T
    dmu = dz + BETA * mu / n
    dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)
    dWm, dbm = h.T @ dmu, dmu.sum(0)
    dWs, dbs = h.T @ dlv, dlv.sum(0)
    da = (1 - h ** 2) * (dmu @ Wm.T + dlv @ Ws.T)
    dWe, dbe = x.T @ da, da.sum(0)
    return {"We": dWe, "be": dbe, "Wm": dWm, "bm": dbm, "Ws": dWs, "bs": dbs,
            "Wd": dWd, "bd": dbd, "Wo": dWo, "bo": dbo}


def two_losses(x, eps, We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo):
    N = x.shape[0]
    a = x @ We + be
    h = np.tanh(a)
    mu = h @ Wm + bm
    logvar = h @ Ws + bs
    var = np.exp(logvar)
    sigma = np.sqrt(var)
    z = mu + sigma * eps
    pre = z @ Wd + bd
    hd = np.where(pre > 0, pre, 0)
    xr = hd @ Wo + bo
    recon = 0.5 * ((xr - x) ** 2).sum() / N
    kl = 0.5 * (mu ** 2 + var - 1 - logvar).sum() / N
    # reconstruction
    grad_xr = (xr - x) / N
    grad_bo = grad_xr.sum(axis=0)
    grad_Wo = hd.T @ grad_xr
    grad_hd = grad_xr @ Wo.T
    grad_pre = np.where(pre > 0, grad_hd, 0)
    grad_bd = grad_pre.sum(axis=0)
    grad_Wd = z.T @ grad_pre
    grad_z = grad_pre @ Wd.T
    grad_mu = grad_z.copy()
    grad_sigma = grad_z * eps
    grad_var = grad_sigma / (2 * sigma)
    grad_logvar = grad_var * var
    # divergence
    weight = BETA / N
    grad_mu += weight * mu
    grad_logvar += weight * 0.5 * var
    grad_logvar -= weight * 0.5
    # encoder
    grad_bm = grad_mu.sum(axis=0)
    grad_Wm = h.T @ grad_mu
    grad_bs = grad_logvar.sum(axis=0)
    grad_Ws = h.T @ grad_logvar
    grad_h = grad_mu @ Wm.T
    grad_h += grad_logvar @ Ws.T
    grad_a = grad_h * (1 - np.tanh(a) ** 2)
    grad_be = grad_a.sum(axis=0)
    grad_We = x.T @ grad_a
    return {"loss": recon + BETA * kl, "mu": grad_mu, "logvar": grad_logvar, "z": grad_z, "h": grad_h,
            "sigma": grad_sigma, "xr": grad_xr, "We": grad_We, "be": grad_be, "Wm": grad_Wm, "bm": grad_bm,
            "Ws": grad_Ws, "bs": grad_bs, "Wd": grad_Wd, "bd": grad_bd, "Wo": grad_Wo, "bo": grad_bo}


def per_example(x, eps, We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo):
    names = ("We", "be", "Wm", "bm", "Ws", "bs", "Wd", "bd", "Wo", "bo")
    grads = {k: np.zeros_like(w) for k, w in zip(names, (We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo))}
    for xi, e in zip(x, eps):
        hidden = np.tanh(xi @ We + be)
        mean = hidden @ Wm + bm
        s = hidden @ Ws + bs
        std = np.exp(s / 2)
        latent = mean + std * e
        act = np.maximum(latent @ Wd + bd, 0)
        res = act @ Wo + bo - xi
        grads["Wo"] += np.outer(act, res)
        grads["bo"] += res
        g_act = Wo @ res
        g_act[act == 0] = 0
        grads["Wd"] += np.outer(latent, g_act)
        grads["bd"] += g_act
        g_latent = Wd @ g_act
        g_mean = g_latent + BETA * mean
        g_s = 0.5 * (g_latent * e * std + BETA * (np.exp(s) - 1))
        grads["Wm"] += np.outer(hidden, g_mean)
        grads["bm"] += g_mean
        grads["Ws"] += np.outer(hidden, g_s)
        grads["bs"] += g_s
        g_pre = (1 - hidden ** 2) * (Wm @ g_mean + Ws @ g_s)
        grads["We"] += np.outer(xi, g_pre)
        grads["be"] += g_pre
    return {k: g / len(x) for k, g in grads.items()}


def affine_back(g, inp, W):
    return g @ W.T, inp.T @ g, g.sum(axis=0)


def stacked_heads(x, eps, We, be, Wm, bm, Ws, bs, Wd, bd, Wo, bo):
    B, k = eps.shape
    heads = np.hstack([Wm, Ws])
    h = np.tanh(x @ We + be)
    stats = h @ heads + np.concatenate([bm, bs])
    mu, half = stats[:, :k], stats[:, k:] / 2
    sig = np.exp(half)
    z = mu + sig * eps
    d = (z @ Wd + bd).clip(0)
    xr = d @ Wo + bo
    d_d, d_Wo, d_bo = affine_back((xr - x) / B, d, Wo)
    d_d = d_d * (d > 0)
    d_z, d_Wd, d_bd = affine_back(d_d, z, Wd)
    d_stats = np.zeros_like(stats)
    d_stats[:, :k] = d_z
    d_stats[:, k:] = 0.5 * d_z * (z - mu)
    d_stats[:, :k] += BETA / B * mu
    d_stats[:, k:] += 0.5 * BETA / B * (sig * sig - 1)
    d_h, d_heads, d_hb = affine_back(d_stats, h, heads)
    _, d_We, d_be = affine_back(d_h - d_h * h * h, x, We)
    return {"dWe": d_We, "dbe": d_be, "dWm": d_heads[:, :k], "dWs": d_heads[:, k:], "dbm": d_hb[:k],
            "dbs": d_hb[k:], "dWd": d_Wd, "dbd": d_bd, "dWo": d_Wo, "dbo": d_bo}


RIGHT = (compact, two_losses, per_example, stacked_heads)

SLIPS = (
    Slip("no KL in the mean's gradient", compact, ("dmu = dz + BETA * mu / n", "dmu = dz"),
         label=label("missing-term dropped-path", "mu kl", "square multiply subtract")),
    Slip("KL's log-variance part upside down", compact,
         ("dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)",
          "dlv = dz * eps * sd / 2 + BETA * (1 - sd ** 2) / (2 * n)"),
         label=label("sign", "logvar kl", "subtract add exp multiply sum")),
    Slip("half of the exponent forgotten in the sampling path", compact,
         ("dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)",
          "dlv = dz * eps * sd + BETA * (sd ** 2 - 1) / (2 * n)"),
         label=label("scale wrong-local-rule missing-local-derivative", "sigma logvar", "exp multiply")),
    Slip("noise forgotten in the reparametrisation", compact,
         ("dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)",
          "dlv = dz * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)"),
         label=label("missing-local-derivative", "sigma z logvar", "multiply")),
    Slip("standard deviation instead of variance in the KL", compact,
         ("dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)",
          "dlv = dz * eps * sd / 2 + BETA * (sd - 1) / (2 * n)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "logvar kl", "exp")),
    Slip("KL not averaged over the samples", compact,
         ("dmu = dz + BETA * mu / n", "dmu = dz + BETA * mu"),
         ("dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / (2 * n)",
          "dlv = dz * eps * sd / 2 + BETA * (sd ** 2 - 1) / 2"),
         label=label("scale", "kl elbo mu logvar", "divide sum multiply")),
    Slip("encoder hears only of the mean's head", compact,
         ("da = (1 - h ** 2) * (dmu @ Wm.T + dlv @ Ws.T)", "da = (1 - h ** 2) * (dmu @ Wm.T)"),
         label=label("dropped-path", "h logvar Ws", "matmul")),
    Slip("weights of the heads exchanged going back", compact,
         ("da = (1 - h ** 2) * (dmu @ Wm.T + dlv @ Ws.T)", "da = (1 - h ** 2) * (dmu @ Ws.T + dlv @ Wm.T)"),
         label=label("swapped wrong-operand", "h mu logvar Wm Ws", "matmul")),
    Slip("decoder's first weights see the mean, not the sample", compact,
         ("dWd, dbd = z.T @ du, du.sum(0)", "dWd, dbd = mu.T @ du, du.sum(0)"),
         label=label("wrong-operand stale-value", "Wd", "matmul")),
    Slip("relu's derivative forgotten in the decoder", two_losses,
         ("grad_pre = np.where(pre > 0, grad_hd, 0)", "grad_pre = grad_hd"),
         label=label("missing-local-derivative", "d", "maximum")),
    Slip("a two too many at the reconstruction", two_losses,
         ("grad_xr = (xr - x) / N", "grad_xr = 2 * (xr - x) / N"),
         label=label("scale wrong-local-rule", "recon xr", "square sum multiply divide subtract")),
    Slip("beta forgotten", two_losses, ("weight = BETA / N", "weight = 1 / N"),
         label=label("scale missing-local-derivative", "kl elbo mu logvar", "multiply add")),
    Slip("KL's mean part replaces the reconstruction's", two_losses,
         ("grad_mu += weight * mu", "grad_mu = weight * mu"),
         label=label("overwritten-accumulation dropped-path", "mu z", "add")),
    Slip("two in the KL's square of the mean", two_losses,
         ("grad_mu += weight * mu", "grad_mu += weight * 2 * mu"),
         label=label("scale wrong-local-rule", "mu kl", "square multiply")),
    Slip("KL's minus one half forgotten", two_losses, ("grad_logvar -= weight * 0.5", ""),
         label=label("dropped-path missing-term wrong-local-rule", "logvar kl", "add subtract")),
    Slip("exp not differentiated on the way to the log-variance", two_losses,
         ("grad_logvar = grad_var * var", "grad_logvar = grad_var.copy()"),
         label=label("missing-local-derivative wrong-local-rule", "sigma logvar", "exp")),
    Slip("derivative of the root written as a half times sigma", two_losses,
         ("grad_var = grad_sigma / (2 * sigma)", "grad_var = grad_sigma * sigma / 2"),
         label=label("wrong-local-rule double-derivative", "sigma logvar", "exp")),
    Slip("tanh of tanh in the encoder's derivative", two_losses,
         ("grad_a = grad_h * (1 - np.tanh(a) ** 2)", "grad_a = grad_h * (1 - np.tanh(h) ** 2)"),
         label=label("wrong-argument", "h", "tanh")),
    Slip("log-variance's head overwrites the mean's at h", two_losses,
         ("grad_h += grad_logvar @ Ws.T", "grad_h = grad_logvar @ Ws.T"),
         label=label("overwritten-accumulation dropped-path", "h mu Wm", "matmul")),
    Slip("Ws by the mean's gradient", two_losses,
         ("grad_Ws = h.T @ grad_logvar", "grad_Ws = h.T @ grad_mu"),
         label=label("wrong-operand swapped stale-value", "Ws logvar", "matmul")),
    Slip("residual the other way round", per_example,
         ("res = act @ Wo + bo - xi", "res = xi - act @ Wo - bo"),
         label=label("sign", "xr recon", "subtract square multiply sum divide")),
    Slip("decoder's bias before relu's mask", per_example,
         ('grads["bd"] += g_act', 'grads["bd"] += Wo @ res'),
         label=label("missing-local-derivative wrong-operand stale-value", "bd", "maximum add")),
    Slip("log-variance taken for log of the standard deviation", per_example,
         ("std = np.exp(s / 2)", "std = np.exp(s)"),
         label=label("wrong-argument wrong-operand scale wrong-local-rule stale-value",
                     "sigma logvar z", "exp multiply")),
    Slip("KL adds in where it was to be taken off: mean pushed outward", per_example,
         ("g_mean = g_latent + BETA * mean", "g_mean = g_latent - BETA * mean"),
         label=label("sign", "mu kl", "square subtract multiply")),
    Slip("exp forgotten in the KL's variance", per_example,
         ("g_s = 0.5 * (g_latent * e * std + BETA * (np.exp(s) - 1))",
          "g_s = 0.5 * (g_latent * e * std + BETA * (s - 1))"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "logvar kl", "exp")),
    Slip("encoder's weights by the reconstruction", per_example,
         ('grads["We"] += np.outer(xi, g_pre)', 'grads["We"] += np.outer(xi + res, g_pre)'),
         label=label("wrong-operand", "We", "matmul")),
    Slip("sample instead of its deviation from the mean", stacked_heads,
         ("d_stats[:, k:] = 0.5 * d_z * (z - mu)", "d_stats[:, k:] = 0.5 * d_z * z"),
         label=label("wrong-operand wrong-argument wrong-local-rule extra-term", "sigma logvar z", "exp multiply")),
    Slip("KL set, not added, on the log-variance", stacked_heads,
         ("d_stats[:, k:] += 0.5 * BETA / B * (sig * sig - 1)", "d_stats[:, k:] = 0.5 * BETA / B * (sig * sig - 1)"),
         label=label("overwritten-accumulation dropped-path", "logvar sigma", "exp")),
    Slip("mask where the decoder is off", stacked_heads, ("d_d = d_d * (d > 0)", "d_d = d_d * (d <= 0)"),
         label=label("wrong-local-rule wrong-argument", "d", "maximum")),
    Slip("tanh' with h once", stacked_heads,
         ("_, d_We, d_be = affine_back(d_h - d_h * h * h, x, We)",
          "_, d_We, d_be = affine_back(d_h - d_h * h, x, We)"),
         label=label("wrong-local-rule", "h", "tanh")),
    Slip("halves of the stacked bias exchanged, and the KL of the mean halved", stacked_heads,
         ("d_stats[:, :k] += BETA / B * mu", "d_stats[:, :k] += 0.5 * BETA / B * mu"),
         ('return {"dWe": d_We, "dbe": d_be, "dWm": d_heads[:, :k], "dWs": d_heads[:, k:], "dbm": d_hb[:k],',
          'return {"dWe": d_We, "dbe": d_be, "dWm": d_heads[:, :k], "dWs": d_heads[:, k:], "dbm": d_hb[k:],'),
         ('"dbs": d_hb[k:], "dWd": d_Wd, "dbd": d_bd, "dWo": d_Wo, "dbo": d_bo}',
          '        "dbs": d_hb[:k], "dWd": d_Wd, "dbd": d_bd, "dWo": d_Wo, "dbo": d_bo}'),
         label=label("two", "mu kl bm bs", "square multiply add")),
)
