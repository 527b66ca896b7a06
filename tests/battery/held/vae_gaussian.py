"""A variational autoencoder with a Gaussian latent and a decoder with squared error, its weighted divergence."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("We", "be", "Wmu", "Wlv", "Wd", "bd")


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 5)).astype(dtype), "eps": rng.normal(size=(6, 2)).astype(dtype),
            "We": (0.5 * rng.normal(size=(5, 4))).astype(dtype), "be": (0.3 * rng.normal(size=4)).astype(dtype),
            "Wmu": (0.6 * rng.normal(size=(4, 2))).astype(dtype), "Wlv": (0.6 * rng.normal(size=(4, 2))).astype(dtype),
            "Wd": rng.normal(size=(2, 5)).astype(dtype), "bd": (0.3 * rng.normal(size=5)).astype(dtype)}


def loss(x, eps, We, be, Wmu, Wlv, Wd, bd):
    a = x @ We + be
    h = np.tanh(a)
    mu = h @ Wmu
    lv = h @ Wlv
    std = np.exp(0.5 * lv)
    z = mu + std * eps
    xhat = z @ Wd + bd
    rec = ((xhat - x) ** 2).sum() / 6
    kl = -0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv)) / 6
    loss = rec + 0.3 * kl
    return loss


def verbose(x, eps, We, be, Wmu, Wlv, Wd, bd):
    N, weight = len(x), 0.3
    h = np.tanh(x @ We + be)
    mu, lv = h @ Wmu, h @ Wlv
    std = np.exp(lv / 2)
    z = mu + std * eps
    xhat = z @ Wd + bd
    dxhat = 2 * (xhat - x) / N
    dWd = z.T @ dxhat
    dbd = dxhat.sum(axis=0)
    dz = dxhat @ Wd.T
    dmu = dz + weight * mu / N
    dstd = dz * eps
    dlv = dstd * 0.5 * std
    dlv += weight * 0.5 * (np.exp(lv) - 1) / N
    dWmu = h.T @ dmu
    dWlv = h.T @ dlv
    dh = dmu @ Wmu.T + dlv @ Wlv.T
    da = dh * (1 - h ** 2)
    dWe = x.T @ da
    dbe = da.sum(axis=0)
    return {"We": dWe, "be": dbe, "Wmu": dWmu, "Wlv": dWlv, "Wd": dWd, "bd": dbd}


def two_losses_apart(x, eps, We, be, Wmu, Wlv, Wd, bd):
    hidden = np.tanh(x @ We + be)
    m, logvar = hidden @ Wmu, hidden @ Wlv
    s = np.exp(0.5 * logvar)
    latent = m + s * eps
    err = latent @ Wd + bd - x
    g = {"Wd": 2 * latent.T @ err, "bd": 2 * err.sum(0)}
    back = 2 * err @ Wd.T
    rec_m = back
    rec_lv = 0.5 * back * eps * s
    kl_m = m
    kl_lv = 0.5 * (s ** 2 - 1)
    g_m = rec_m + 0.3 * kl_m
    g_lv = rec_lv + 0.3 * kl_lv
    g["Wmu"] = hidden.T @ g_m
    g["Wlv"] = hidden.T @ g_lv
    pre = (g_m @ Wmu.T + g_lv @ Wlv.T) * (1 - hidden * hidden)
    g["We"] = x.T @ pre
    g["be"] = pre.sum(0)
    for name in g:
        g[name] = g[name] / x.shape[0]
    return g


RIGHT = (verbose, two_losses_apart)

SLIPS = (
    Slip("divergence's weight forgotten for the means", verbose, ("dmu = dz + weight * mu / N", "dmu = dz + mu / N"),
         label=label("scale", "mu kl loss", "square multiply")),
    Slip("divergence left out for the means", verbose, ("dmu = dz + weight * mu / N", "dmu = dz"),
         label=label("dropped-path missing-term", "mu kl", "square subtract")),
    Slip("means' divergence not a mean", verbose, ("dmu = dz + weight * mu / N", "dmu = dz + weight * mu"),
         label=label("scale", "mu kl loss", "square subtract divide sum multiply")),
    Slip("square of the means with a two", verbose, ("dmu = dz + weight * mu / N", "dmu = dz + 2 * weight * mu / N"),
         label=label("scale", "mu kl loss", "square subtract divide sum multiply")),
    Slip("means' divergence subtracted", verbose, ("dmu = dz + weight * mu / N", "dmu = dz - weight * mu / N"),
         label=label("sign", "mu kl", "square subtract")),
    Slip("means detached from the reconstruction", verbose, ("dmu = dz + weight * mu / N", "dmu = weight * mu / N"),
         label=label("dropped-path treated-as-constant", "mu z", "add")),
    Slip("noise left out of the width's gradient", verbose, ("dstd = dz * eps", "dstd = dz"),
         label=label("missing-local-derivative dropped-path wrong-operand", "std z eps", "multiply")),
    Slip("latent for noise", verbose, ("dstd = dz * eps", "dstd = dz * z"),
         label=label("wrong-operand", "std z eps", "multiply")),
    Slip("half of the exponent forgotten", verbose, ("dlv = dstd * 0.5 * std", "dlv = dstd * std"),
         label=label("scale missing-local-derivative", "lv std", "multiply exp")),
    Slip("variance for deviation", verbose, ("dlv = dstd * 0.5 * std", "dlv = dstd * 0.5 * np.exp(lv)"),
         label=label("wrong-argument wrong-operand wrong-local-rule double-derivative", "lv std", "exp")),
    Slip("divergence replaces the width's gradient", verbose,
         ("dlv += weight * 0.5 * (np.exp(lv) - 1) / N", "dlv = weight * 0.5 * (np.exp(lv) - 1) / N"),
         label=label("overwritten-accumulation dropped-path", "lv std", "multiply exp")),
    Slip("one of the divergence forgotten", verbose,
         ("dlv += weight * 0.5 * (np.exp(lv) - 1) / N", "dlv += weight * 0.5 * np.exp(lv) / N"),
         label=label("dropped-path missing-term", "lv kl", "add subtract")),
    Slip("deviation in the divergence", verbose,
         ("dlv += weight * 0.5 * (np.exp(lv) - 1) / N", "dlv += weight * 0.5 * (std - 1) / N"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "lv kl std", "exp")),
    Slip("divergence of the widths the wrong way", verbose,
         ("dlv += weight * 0.5 * (np.exp(lv) - 1) / N", "dlv += weight * 0.5 * (1 - np.exp(lv)) / N"),
         label=label("sign", "lv kl", "add subtract multiply sum")),
    Slip("widths do not reach the encoder", verbose, ("dh = dmu @ Wmu.T + dlv @ Wlv.T", "dh = dmu @ Wmu.T"),
         label=label("dropped-path treated-as-constant", "h lv", "matmul")),
    Slip("heads' weights exchanged", verbose, ("dh = dmu @ Wmu.T + dlv @ Wlv.T", "dh = dmu @ Wlv.T + dlv @ Wmu.T"),
         label=label("swapped wrong-operand two", "h mu lv Wmu Wlv", "matmul")),
    Slip("tanh' at the input of tanh", verbose, ("da = dh * (1 - h ** 2)", "da = dh * (1 - (x @ We + be) ** 2)"),
         label=label("wrong-argument", "h a", "tanh")),
    Slip("tanh' left out", verbose, ("da = dh * (1 - h ** 2)", "da = dh"),
         label=label("missing-local-derivative", "h a", "tanh")),
    Slip("decoder's weights by the means", verbose, ("dWd = z.T @ dxhat", "dWd = mu.T @ dxhat"),
         label=label("wrong-operand", "Wd z mu xhat", "matmul")),
    Slip("decoder's bias is a mean", verbose, ("dbd = dxhat.sum(axis=0)", "dbd = dxhat.mean(axis=0)"),
         label=label("scale", "bd xhat", "add")),
    Slip("noise without the deviation in the recomputed latent", verbose,
         ("z = mu + std * eps", "z = mu + np.exp(lv) * eps"),
         label=label("wrong-argument wrong-operand wrong-local-rule scale", "z std lv", "multiply exp add")),
    Slip("encoder's bias left out when recomputed", verbose, ("h = np.tanh(x @ We + be)", "h = np.tanh(x @ We)"),
         label=label("missing-term dropped-path", "a h be", "add")),
    Slip("no two, and no noise", verbose, ("dxhat = 2 * (xhat - x) / N", "dxhat = (xhat - x) / N"),
         ("dstd = dz * eps", "dstd = dz"),
         label=label("two", "xhat rec std z eps loss", "square multiply subtract")),
    Slip("mean over all pixels", two_losses_apart, ("back = 2 * err @ Wd.T", "back = 2 * err @ Wd.T / x.shape[1]"),
         label=label("scale", "z xhat", "matmul add multiply")),
    Slip("weight of the divergence on the wrong half", two_losses_apart,
         ("g_lv = rec_lv + 0.3 * kl_lv", "g_lv = 0.3 * rec_lv + kl_lv"),
         label=label("two scale swapped", "lv kl std", "multiply exp add")),
    Slip("half of the exponent lost", two_losses_apart,
         ("rec_lv = 0.5 * back * eps * s", "rec_lv = back * eps * s"),
         label=label("scale missing-local-derivative", "lv std", "multiply exp")),
    Slip("deviation not differentiated", two_losses_apart,
         ("rec_lv = 0.5 * back * eps * s", "rec_lv = 0.5 * back * eps"),
         label=label("missing-local-derivative", "lv std", "exp")),
    Slip("not divided for the decoder", two_losses_apart, ("for name in g:", 'for name in ("Wmu", "Wlv", "We", "be"):'),
         label=label("scale missing-local-derivative", "Wd bd xhat rec", "divide matmul add sum")),
    Slip("encoder's bias not divided", two_losses_apart, ("for name in g:", 'for name in list(g)[:-1]:'),
         label=label("scale missing-local-derivative", "be a", "divide add")),
)
