"""An autoencoder with a Gaussian code of learned mean and log variance, and black and white pixels."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("We", "be", "Wm", "bm", "Wv", "bv", "Wd", "bd", "Wo", "bo")


def data(rng, dtype):
    shapes = {"We": (5, 8), "be": (5,), "Wm": (3, 5), "bm": (3,), "Wv": (3, 5), "bv": (3,),
              "Wd": (5, 3), "bd": (5,), "Wo": (8, 5), "bo": (8,)}
    values = {"x": rng.integers(0, 2, size=(6, 8)), "eps": rng.normal(size=(6, 3)),
              **{k: 0.5 * rng.normal(size=shape) for k, shape in shapes.items()}}
    return {k: v.astype(dtype) for k, v in values.items()}


def loss(x, eps, We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo):
    h = np.tanh(x @ We.T + be)
    mu = h @ Wm.T + bm
    logvar = h @ Wv.T + bv
    sigma = np.exp(0.5 * logvar)
    z = mu + sigma * eps
    a = z @ Wd.T + bd
    g = np.maximum(a, 0)
    logits = g @ Wo.T + bo
    p = ad.sigmoid(logits)
    bce = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    objective = np.mean(bce + kl)
    return objective


def on_one_page(x, eps, We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo):
    n = len(x)
    h = np.tanh(x @ We.T + be)
    mu, lv = h @ Wm.T + bm, h @ Wv.T + bv
    s = np.exp(lv / 2)
    z = mu + s * eps
    g = np.maximum(z @ Wd.T + bd, 0)
    p = 1 / (1 + np.exp(-(g @ Wo.T + bo)))
    do = (p - x) / n
    dg = do @ Wo * (g > 0)
    dz = dg @ Wd
    dmu = dz + mu / n
    dlv = 0.5 * s * eps * dz + 0.5 * (s**2 - 1) / n
    dh = (dmu @ Wm + dlv @ Wv) * (1 - h**2)
    return {"We": dh.T @ x, "be": dh.sum(0), "Wm": dmu.T @ h, "bm": dmu.sum(0), "Wv": dlv.T @ h, "bv": dlv.sum(0),
            "Wd": dg.T @ z, "bd": dg.sum(0), "Wo": do.T @ g, "bo": do.sum(0)}


def without_shortcuts(x, eps, We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo):
    m = x.shape[0]
    pre_h = x @ We.T + be
    h = np.tanh(pre_h)
    mu = h @ Wm.T + bm
    logvar = h @ Wv.T + bv
    sigma = np.exp(0.5 * logvar)
    z = mu + sigma * eps
    a = z @ Wd.T + bd
    g = np.where(a > 0, a, 0)
    logits = g @ Wo.T + bo
    p = 1 / (1 + np.exp(-logits))

    # reconstruction
    d_bce = 1 / m
    d_p = d_bce * (-x / p + (1 - x) / (1 - p))
    d_logits = d_p * p * (1 - p)
    d_Wo = d_logits.T @ g
    d_bo = d_logits.sum(axis=0)
    d_g = d_logits @ Wo
    d_a = np.where(a > 0, d_g, 0)
    d_Wd = d_a.T @ z
    d_bd = d_a.sum(axis=0)
    d_z = d_a @ Wd

    # sampling
    d_mu = d_z.copy()
    d_sigma = d_z * eps
    d_logvar = d_sigma * 0.5 * sigma

    # divergence
    d_kl = 1 / m
    d_mu += d_kl * mu
    d_logvar += d_kl * -0.5 * (1 - np.exp(logvar))

    # encoder
    d_Wm = d_mu.T @ h
    d_bm = d_mu.sum(axis=0)
    d_Wv = d_logvar.T @ h
    d_bv = d_logvar.sum(axis=0)
    d_h = d_mu @ Wm
    d_h += d_logvar @ Wv
    d_pre_h = d_h * (1 - h * h)
    d_We = d_pre_h.T @ x
    d_be = d_pre_h.sum(axis=0)
    return {"dWe": d_We, "dbe": d_be, "dWm": d_Wm, "dbm": d_bm, "dWv": d_Wv, "dbv": d_bv, "dWd": d_Wd, "dbd": d_bd,
            "dWo": d_Wo, "dbo": d_bo, "dz": d_z, "dmu": d_mu, "dlogvar": d_logvar}


def two_losses_apart(x, eps, We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo):
    h = np.tanh(np.einsum("ni,hi->nh", x, We) + be)
    mu = np.einsum("nh,kh->nk", h, Wm) + bm
    half = 0.5 * (np.einsum("nh,kh->nk", h, Wv) + bv)
    z = mu + np.exp(half) * eps
    g = np.einsum("nk,jk->nj", z, Wd) + bd
    on = g > 0
    g = g * on
    p = 1 / (1 + np.exp(-np.einsum("nj,ij->ni", g, Wo) - bo))

    def to_encoder(g_mu, g_half):
        g_lv = g_half / 2
        back = np.einsum("nk,kh->nh", g_mu, Wm) + np.einsum("nk,kh->nh", g_lv, Wv)
        back = back * (1 + h) * (1 - h)
        return {"We": np.einsum("nh,ni->hi", back, x), "be": back.sum(0),
                "Wm": np.einsum("nk,nh->kh", g_mu, h), "bm": g_mu.sum(0),
                "Wv": np.einsum("nk,nh->kh", g_lv, h), "bv": g_lv.sum(0)}

    r_out = p - x
    r_hid = np.einsum("ni,ij->nj", r_out, Wo) * on
    r_z = np.einsum("nj,jk->nk", r_hid, Wd)
    reconstruction = to_encoder(r_z, r_z * eps * np.exp(half))
    divergence = to_encoder(mu, np.exp(2 * half) - 1)
    grads = {name: (reconstruction[name] + divergence[name]) / len(x) for name in reconstruction}
    grads["Wd"] = np.einsum("nj,nk->jk", r_hid, z) / len(x)
    grads["bd"] = r_hid.mean(0)
    grads["Wo"] = np.einsum("ni,nj->ij", r_out, g) / len(x)
    grads["bo"] = r_out.mean(0)
    return grads


def image_by_image(x, eps, We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo):
    total = {"We": 0, "be": 0, "Wm": 0, "bm": 0, "Wv": 0, "bv": 0, "Wd": 0, "bd": 0, "Wo": 0, "bo": 0}
    for image, noise in zip(x, eps, strict=True):
        enc = np.tanh(We @ image + be)
        mean = Wm @ enc + bm
        variance = np.exp(Wv @ enc + bv)
        std = np.sqrt(variance)
        code = mean + std * noise
        pre = Wd @ code + bd
        dec = np.maximum(pre, 0)
        prob = 1 / (1 + np.exp(-(Wo @ dec + bo)))
        g_out = prob - image
        g_pre = (pre > 0) * (Wo.T @ g_out)
        g_code = Wd.T @ g_pre
        g_mean = g_code + mean
        g_variance = g_code * noise / (2 * std) + 0.5 - 0.5 / variance
        g_log = g_variance * variance
        g_enc = Wm.T @ g_mean + Wv.T @ g_log
        g_lin = g_enc - g_enc * enc**2
        parts = {"We": np.outer(g_lin, image), "be": g_lin, "Wm": np.outer(g_mean, enc), "bm": g_mean,
                 "Wv": np.outer(g_log, enc), "bv": g_log, "Wd": np.outer(g_pre, code), "bd": g_pre,
                 "Wo": np.outer(g_out, dec), "bo": g_out}
        for name, part in parts.items():
            total[name] = total[name] + part / len(x)
    return total


RIGHT = (on_one_page, without_shortcuts, two_losses_apart, image_by_image)

SLIPS = (
    Slip("divergence left out at the mean", on_one_page, ("dmu = dz + mu / n", "dmu = dz"),
         label=label("missing-term dropped-path", "mu kl", "square subtract sum multiply")),
    Slip("divergence of the mean not averaged", on_one_page, ("dmu = dz + mu / n", "dmu = dz + mu"),
         label=label("scale", "mu kl", "square subtract sum multiply mean")),
    Slip("log variance taken for log deviation", on_one_page,
         ("dlv = 0.5 * s * eps * dz + 0.5 * (s**2 - 1) / n", "dlv = s * eps * dz + 0.5 * (s**2 - 1) / n"),
         label=label("scale missing-local-derivative", "logvar sigma z", "multiply exp add")),
    Slip("deviation in the divergence in place of the variance", on_one_page,
         ("dlv = 0.5 * s * eps * dz + 0.5 * (s**2 - 1) / n", "dlv = 0.5 * s * eps * dz + 0.5 * (s - 1) / n"),
         label=label("wrong-argument wrong-local-rule wrong-operand", "logvar kl sigma", "exp")),
    Slip("noise missing in the spread's gradient", on_one_page,
         ("dlv = 0.5 * s * eps * dz + 0.5 * (s**2 - 1) / n", "dlv = 0.5 * s * dz + 0.5 * (s**2 - 1) / n"),
         label=label("missing-local-derivative", "sigma logvar eps z", "multiply")),
    Slip("second head does not reach the encoder", on_one_page,
         ("dh = (dmu @ Wm + dlv @ Wv) * (1 - h**2)", "dh = dmu @ Wm * (1 - h**2)"),
         label=label("dropped-path", "h logvar Wv", "matmul")),
    Slip("both heads go back through the mean's weights", on_one_page,
         ("dh = (dmu @ Wm + dlv @ Wv) * (1 - h**2)", "dh = (dmu @ Wm + dlv @ Wm) * (1 - h**2)"),
         label=label("wrong-operand", "h logvar Wv Wm mu", "matmul")),
    Slip("encoder's tanh binds one head only", on_one_page,
         ("dh = (dmu @ Wm + dlv @ Wv) * (1 - h**2)", "dh = dmu @ Wm + dlv @ Wv * (1 - h**2)"),
         label=label("missing-local-derivative", "h mu", "tanh")),
    Slip("decoder's hidden layer not masked", on_one_page, ("dg = do @ Wo * (g > 0)", "dg = do @ Wo"),
         label=label("missing-local-derivative", "a g", "maximum")),
    Slip("average over the pixels too", on_one_page, ("do = (p - x) / n", "do = (p - x) / x.size"),
         label=label("scale", "bce logits p objective", "mean sum negative log sigmoid")),
    Slip("minus dropped in front of the ones", without_shortcuts,
         ("d_p = d_bce * (-x / p + (1 - x) / (1 - p))", "d_p = d_bce * (x / p + (1 - x) / (1 - p))"),
         label=label("sign", "p bce", "log multiply add negative")),
    Slip("difference taken for the slope by the probability", without_shortcuts,
         ("d_p = d_bce * (-x / p + (1 - x) / (1 - p))", "d_p = d_bce * (p - x)"),
         label=label("wrong-local-rule double-derivative", "p bce logits", "log sigmoid")),
    Slip("sigmoid's slope at the logits", without_shortcuts,
         ("d_logits = d_p * p * (1 - p)", "d_logits = d_p * logits * (1 - logits)"),
         label=label("wrong-argument", "logits p", "sigmoid")),
    Slip("second head replaces the first in the hidden gradient", without_shortcuts,
         ("d_h += d_logvar @ Wv", "d_h = d_logvar @ Wv"),
         label=label("overwritten-accumulation dropped-path", "h mu Wm logvar", "matmul")),
    Slip("divergence of the spread with the other sign", without_shortcuts,
         ("d_logvar += d_kl * -0.5 * (1 - np.exp(logvar))", "d_logvar += d_kl * 0.5 * (1 - np.exp(logvar))"),
         label=label("sign", "logvar kl", "exp add subtract sum multiply")),
    Slip("constant of the log variance lost", without_shortcuts,
         ("d_logvar += d_kl * -0.5 * (1 - np.exp(logvar))", "d_logvar += d_kl * 0.5 * np.exp(logvar)"),
         label=label("dropped-path missing-term", "logvar kl", "add subtract exp sum")),
    Slip("divergence sets the mean's gradient", without_shortcuts,
         ("d_mu += d_kl * mu", "d_mu = d_kl * mu"),
         label=label("overwritten-accumulation dropped-path", "mu z kl", "add square")),
    Slip("square of the mean derived without its half", without_shortcuts,
         ("d_mu += d_kl * mu", "d_mu += d_kl * 2 * mu"),
         label=label("scale", "mu kl", "square subtract sum multiply")),
    Slip("exponential derived without the half", without_shortcuts,
         ("d_logvar = d_sigma * 0.5 * sigma", "d_logvar = d_sigma * sigma"),
         label=label("scale missing-local-derivative", "logvar sigma z", "multiply exp add")),
    Slip("exponential not derived", without_shortcuts,
         ("d_logvar = d_sigma * 0.5 * sigma", "d_logvar = d_sigma * 0.5"),
         label=label("missing-local-derivative", "sigma logvar", "exp")),
    Slip("decoder weights with the mean, not the sample", without_shortcuts,
         ("d_Wd = d_a.T @ z", "d_Wd = d_a.T @ mu"),
         label=label("wrong-operand", "Wd mu z a", "matmul")),
    Slip("output weights with the encoder's layer", without_shortcuts,
         ("d_Wo = d_logits.T @ g", "d_Wo = d_logits.T @ h"),
         label=label("wrong-operand", "Wo g h logits", "matmul")),
    Slip("divergence worked out and not added", two_losses_apart,
         ("grads = {name: (reconstruction[name] + divergence[name]) / len(x) for name in reconstruction}",
          "grads = {name: reconstruction[name] / len(x) for name in reconstruction}"),
         label=label("missing-term dropped-path", "kl mu logvar objective", "sum multiply add mean")),
    Slip("divergence summed while the rest is averaged", two_losses_apart,
         ("grads = {name: (reconstruction[name] + divergence[name]) / len(x) for name in reconstruction}",
          "grads = {name: reconstruction[name] / len(x) + divergence[name] for name in reconstruction}"),
         label=label("scale", "kl mu logvar objective", "mean sum multiply add")),
    Slip("half not passed on to the log variance", two_losses_apart, ("g_lv = g_half / 2", "g_lv = g_half"),
         label=label("scale missing-local-derivative", "logvar sigma kl", "multiply exp")),
    Slip("mask only after the decoder's weights", two_losses_apart,
         ("r_hid = np.einsum(\"ni,ij->nj\", r_out, Wo) * on", "r_hid = np.einsum(\"ni,ij->nj\", r_out, Wo)"),
         ("r_z = np.einsum(\"nj,jk->nk\", r_hid, Wd)", "r_z = np.einsum(\"nj,jk->nk\", r_hid * on, Wd)"),
         label=label("missing-local-derivative wrong-operand", "Wd bd a g", "maximum")),
    Slip("decoder's bias summed", two_losses_apart, ('grads["bd"] = r_hid.mean(0)', 'grads["bd"] = r_hid.sum(0)'),
         label=label("scale", "bd a", "add sum")),
    Slip("root's slope with the variance", image_by_image,
         ("g_variance = g_code * noise / (2 * std) + 0.5 - 0.5 / variance",
          "g_variance = g_code * noise / (2 * variance) + 0.5 - 0.5 / variance"),
         label=label("wrong-local-rule wrong-argument missing-local-derivative", "sigma logvar z", "exp")),
    Slip("log's share of the divergence forgotten", image_by_image,
         ("g_variance = g_code * noise / (2 * std) + 0.5 - 0.5 / variance",
          "g_variance = g_code * noise / (2 * std) + 0.5"),
         label=label("dropped-path missing-term", "logvar kl", "add subtract exp sum log")),
    Slip("variance's gradient given to the log variance", image_by_image,
         ("g_log = g_variance * variance", "g_log = g_variance"),
         label=label("missing-local-derivative", "logvar sigma kl", "exp")),
    Slip("mean's divergence subtracted", image_by_image, ("g_mean = g_code + mean", "g_mean = g_code - mean"),
         label=label("sign", "mu kl", "square subtract sum multiply")),
    Slip("last image only", image_by_image,
         ("total[name] = total[name] + part / len(x)", "total[name] = part / len(x)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction",
                     "objective bce kl We be Wm bm Wv bv Wd bd Wo bo h mu logvar z a g logits p",
                     "mean sum matmul add")),
    Slip("noise forgotten and mean's divergence forgotten", image_by_image,
         ("g_mean = g_code + mean", "g_mean = g_code"),
         ("g_variance = g_code * noise / (2 * std) + 0.5 - 0.5 / variance",
          "g_variance = g_code / (2 * std) + 0.5 - 0.5 / variance"),
         label=label("two", "mu kl sigma logvar eps z", "square multiply")),
)
