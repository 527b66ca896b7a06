"""A variational autoencoder with given noise: Gaussian code by its log variance, Bernoulli pixels, weighted KL."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "Wm", "bm", "Wv", "bv", "W3", "b3", "W4", "b4")
BETA = 0.7


def data(rng, dtype):
    def normal(scale, *shape):
        return (scale * rng.normal(size=shape)).astype(dtype)

    return {"x": (rng.random(size=(8, 6)) < 0.5).astype(dtype), "eps": normal(1, 8, 3),
            "W1": normal(0.6, 6, 5), "b1": normal(0.3, 5), "Wm": normal(0.7, 5, 3), "bm": normal(0.5, 3),
            "Wv": normal(0.5, 5, 3), "bv": normal(0.5, 3), "W3": normal(0.8, 3, 5), "b3": normal(0.4, 5),
            "W4": normal(0.6, 5, 6), "b4": normal(0.3, 6)}


def loss(x, eps, W1, b1, Wm, bm, Wv, bv, W3, b3, W4, b4):
    he = np.tanh(x @ W1 + b1)
    mu = he @ Wm + bm
    logvar = he @ Wv + bv
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    zd = z @ W3 + b3
    hd = ad.relu(zd)
    logits = hd @ W4 + b4
    p = ad.sigmoid(logits)
    bce = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
    kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum()
    loss = (bce + BETA * kl) / len(x)
    return loss


def every_step(x, eps, W1, b1, Wm, bm, Wv, bv, W3, b3, W4, b4):
    N = x.shape[0]
    he = np.tanh(x @ W1 + b1)
    mu = he @ Wm + bm
    logvar = he @ Wv + bv
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    zd = z @ W3 + b3
    hd = np.maximum(zd, 0)
    logits = hd @ W4 + b4
    p = 1 / (1 + np.exp(-logits))
    dlogits = (p - x) / N
    dW4 = hd.T @ dlogits
    db4 = dlogits.sum(axis=0)
    dhd = dlogits @ W4.T
    dzd = dhd * (zd > 0)
    dW3 = z.T @ dzd
    db3 = dzd.sum(axis=0)
    dz = dzd @ W3.T
    dstd = dz * eps
    dmu = dz + BETA * mu / N
    dlogvar = dstd * 0.5 * std
    dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N
    dWm = he.T @ dmu
    dbm = dmu.sum(axis=0)
    dWv = he.T @ dlogvar
    dbv = dlogvar.sum(axis=0)
    dhe = dmu @ Wm.T + dlogvar @ Wv.T
    dpre = dhe * (1 - he ** 2)
    dW1 = x.T @ dpre
    db1 = dpre.sum(axis=0)
    return {"W1": dW1, "b1": db1, "Wm": dWm, "bm": dbm, "Wv": dWv, "bv": dbv, "W3": dW3, "b3": db3,
            "W4": dW4, "b4": db4}


def short(x, eps, W1, b1, Wm, bm, Wv, bv, W3, b3, W4, b4):
    n, one = len(x), np.ones(len(x))
    h = np.tanh(x @ W1 + b1)
    m, lv = h @ Wm + bm, h @ Wv + bv
    noise = np.exp(lv / 2) * eps
    q = (m + noise) @ W3 + b3
    r = q * (q > 0)
    e = 1 / (1 + np.exp(-(r @ W4 + b4))) - x
    g = e @ W4.T
    g = np.where(q > 0, g, 0)
    back = g @ W3.T
    gm = back + BETA * m
    gv = 0.5 * (back * noise + BETA * np.expm1(lv))
    gh = (gm @ Wm.T + gv @ Wv.T) * (1 - h * h)
    return {"dW1": x.T @ gh / n, "db1": one @ gh / n, "dWm": h.T @ gm / n, "dbm": one @ gm / n,
            "dWv": h.T @ gv / n, "dbv": one @ gv / n, "dW3": (m + noise).T @ g / n, "db3": one @ g / n,
            "dW4": r.T @ e / n, "db4": one @ e / n}


def image_by_image(x, eps, W1, b1, Wm, bm, Wv, bv, W3, b3, W4, b4):
    G = {k: np.zeros_like(v) for k, v in
         dict(W1=W1, b1=b1, Wm=Wm, bm=bm, Wv=Wv, bv=bv, W3=W3, b3=b3, W4=W4, b4=b4).items()}
    for image, noise in zip(x, eps):
        enc = np.tanh(image @ W1 + b1)
        mean, logvar = enc @ Wm + bm, enc @ Wv + bv
        var = np.exp(logvar)
        code = mean + np.sqrt(var) * noise
        pre = code @ W3 + b3
        dec = np.maximum(0, pre)
        prob = 1 / (1 + np.exp(-(dec @ W4 + b4)))
        d_prob = (prob - image) / (prob * (1 - prob))
        d_out = d_prob * prob * (1 - prob)
        d_pre = (W4 @ d_out) * (dec > 0)
        d_code = W3 @ d_pre
        d_mean = d_code + BETA * mean
        d_var = d_code * noise / (2 * np.sqrt(var)) + BETA * 0.5 * (1 - 1 / var)
        d_logvar = d_var * var
        d_enc = Wm @ d_mean + Wv @ d_logvar
        d_in = d_enc * (1 - enc ** 2)
        for k, left, right in (("4", dec, d_out), ("3", code, d_pre), ("m", enc, d_mean), ("v", enc, d_logvar),
                               ("1", image, d_in)):
            G["W" + k] += np.outer(left, right)
            G["b" + k] += right
    return {k: v / len(x) for k, v in G.items()}


RIGHT = (every_step, short, image_by_image)

SLIPS = (
    Slip("half of the standard deviation's exponent forgotten", every_step,
         ("dlogvar = dstd * 0.5 * std", "dlogvar = dstd * std")),
    Slip("variance instead of standard deviation in exp's derivative", every_step,
         ("dlogvar = dstd * 0.5 * std", "dlogvar = dstd * 0.5 * np.exp(logvar)")),
    Slip("exp not derived", every_step, ("dlogvar = dstd * 0.5 * std", "dlogvar = dstd * 0.5")),
    Slip("log variance without the KL", every_step,
         ("dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N", "")),
    Slip("noise forgotten in the standard deviation's gradient", every_step, ("dstd = dz * eps", "dstd = dz")),
    Slip("standard deviation's gradient with the code", every_step, ("dstd = dz * eps", "dstd = dz * z")),
    Slip("mean without the KL", every_step, ("dmu = dz + BETA * mu / N", "dmu = dz")),
    Slip("mean's KL with the two of the square", every_step,
         ("dmu = dz + BETA * mu / N", "dmu = dz + 2 * BETA * mu / N")),
    Slip("log variance's KL with the sign turned", every_step,
         ("dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N", "dlogvar += BETA * 0.5 * (1 - np.exp(logvar)) / N")),
    Slip("log variance's KL replaces what came from the code", every_step,
         ("dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N", "dlogvar = BETA * 0.5 * (np.exp(logvar) - 1) / N")),
    Slip("one of the log variance's KL forgotten", every_step,
         ("dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N", "dlogvar += BETA * 0.5 * np.exp(logvar) / N")),
    Slip("KL of the mean not averaged over the images", every_step,
         ("dmu = dz + BETA * mu / N", "dmu = dz + BETA * mu")),
    Slip("log variance in the KL's exp halved", every_step,
         ("dlogvar += BETA * 0.5 * (np.exp(logvar) - 1) / N", "dlogvar += BETA * 0.5 * (std - 1) / N")),
    Slip("averaged over the pixels as well", every_step,
         ("dlogits = (p - x) / N", "dlogits = (p - x) / x.size")),
    Slip("encoder through the means only", every_step,
         ("dhe = dmu @ Wm.T + dlogvar @ Wv.T", "dhe = dmu @ Wm.T")),
    Slip("encoder's log variance part through Wm", every_step,
         ("dhe = dmu @ Wm.T + dlogvar @ Wv.T", "dhe = dmu @ Wm.T + dlogvar @ Wm.T")),
    Slip("relu's mask from the gradient", every_step, ("dzd = dhd * (zd > 0)", "dzd = dhd * (dhd > 0)")),
    Slip("relu's mask from the encoder", every_step, ("dzd = dhd * (zd > 0)", "dzd = dhd * (he > 0)")),
    Slip("relu's mask copied to the encoder's tanh", every_step,
         ("dpre = dhe * (1 - he ** 2)", "dpre = dhe * (he > 0)")),
    Slip("decoder's weights with the means, not the code", every_step, ("dW3 = z.T @ dzd", "dW3 = mu.T @ dzd")),
    Slip("bias of the means sees the code's part only", every_step, ("dbm = dmu.sum(axis=0)", "dbm = dz.sum(axis=0)")),
    Slip("bias of the log variances averaged, the means' KL counted twice", every_step,
         ("dbv = dlogvar.sum(axis=0)", "dbv = dlogvar.mean(axis=0)"),
         ("dmu = dz + BETA * mu / N", "dmu = dz + 2 * BETA * mu / N")),
    Slip("sample drawn with minus the noise", short,
         ("noise = np.exp(lv / 2) * eps", "noise = -np.exp(lv / 2) * eps")),
    Slip("first image's noise for all", short,
         ("noise = np.exp(lv / 2) * eps", "noise = np.exp(lv / 2) * eps[0]")),
    Slip("variance times noise", short, ("noise = np.exp(lv / 2) * eps", "noise = np.exp(lv) * eps")),
    Slip("relu passes everything back", short, ("g = np.where(q > 0, g, 0)", "")),
    Slip("half of the log variance on the code's part only", short,
         ("gv = 0.5 * (back * noise + BETA * np.expm1(lv))", "gv = 0.5 * back * noise + BETA * np.expm1(lv)")),
    Slip("weight of the KL on the means only", short,
         ("gv = 0.5 * (back * noise + BETA * np.expm1(lv))", "gv = 0.5 * (back * noise + np.expm1(lv))")),
    Slip("tanh' on the log variance's part only", short,
         ("gh = (gm @ Wm.T + gv @ Wv.T) * (1 - h * h)", "gh = gm @ Wm.T + gv @ Wv.T * (1 - h * h)")),
    Slip("output's sigmoid derived as well", image_by_image,
         ("d_prob = (prob - image) / (prob * (1 - prob))", "d_prob = prob - image")),
    Slip("image over probability alone", image_by_image,
         ("d_prob = (prob - image) / (prob * (1 - prob))", "d_prob = -image / prob")),
    Slip("sigmoid' lacks the probability itself", image_by_image,
         ("d_out = d_prob * prob * (1 - prob)", "d_out = d_prob * (1 - prob)")),
    Slip("square root's derivative multiplied by the root instead of divided", image_by_image,
         ("d_var = d_code * noise / (2 * np.sqrt(var)) + BETA * 0.5 * (1 - 1 / var)",
          "d_var = d_code * noise * np.sqrt(var) / 2 + BETA * 0.5 * (1 - 1 / var)")),
    Slip("variance's gradient taken for the log variance's", image_by_image,
         ("d_logvar = d_var * var", "d_logvar = d_var")),
    Slip("all biases those of the last image", image_by_image,
         ('G["b" + k] += right', 'G["b" + k] = right')),
    Slip("encoder's weights of mean and log variance crossed", image_by_image,
         ("d_enc = Wm @ d_mean + Wv @ d_logvar", "d_enc = Wv @ d_mean + Wm @ d_logvar")),
)
