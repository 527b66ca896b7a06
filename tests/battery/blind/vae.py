"""A small variational autoencoder, columns are examples: binary cross entropy with logits plus the KL divergence."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "Wm", "bm", "Wv", "bv", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    n = lambda *shape: (0.6 * rng.normal(size=shape)).astype(dtype)
    return {"x": rng.uniform(0.05, 0.95, size=(5, 8)).astype(dtype), "eps": rng.normal(size=(2, 8)).astype(dtype),
            "W1": n(4, 5), "b1": n(4, 1), "Wm": n(2, 4), "bm": n(2, 1), "Wv": n(2, 4), "bv": n(2, 1),
            "W2": n(3, 2), "b2": n(3, 1), "W3": n(5, 3), "b3": n(5, 1)}


def loss(x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    m = x.shape[1]
    h = np.tanh(W1 @ x + b1)
    mu = Wm @ h + bm
    logvar = Wv @ h + bv
    z = mu + np.exp(0.5 * logvar) * eps
    g = np.logaddexp(0, W2 @ z + b2)
    logits = W3 @ g + b3
    recon = (np.logaddexp(0, logits) - x * logits).sum() / m
    kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum() / m
    neg_elbo = recon + kl
    return neg_elbo


def sigma(t):
    return 1 / (1 + np.exp(-t))


def in_order(x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    m = x.shape[1]
    h = np.tanh(W1 @ x + b1)
    mu = Wm @ h + bm
    logvar = Wv @ h + bv
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    u = W2 @ z + b2
    g = np.log(1 + np.exp(u))
    logits = W3 @ g + b3
    # reconstruction
    dlogits = (sigma(logits) - x) / m
    dW3 = dlogits @ g.T
    db3 = dlogits.sum(axis=1, keepdims=True)
    dg = W3.T @ dlogits
    du = dg * sigma(u)
    dW2 = du @ z.T
    db2 = du.sum(axis=1, keepdims=True)
    dz = W2.T @ du
    # reparametrisation and KL
    dmu = dz + mu / m
    dstd = dz * eps
    dlogvar = 0.5 * std * dstd
    dlogvar = dlogvar + 0.5 * (np.exp(logvar) - 1) / m
    # encoder
    dWm = dmu @ h.T
    dbm = dmu.sum(axis=1, keepdims=True)
    dWv = dlogvar @ h.T
    dbv = dlogvar.sum(axis=1, keepdims=True)
    dh = Wm.T @ dmu + Wv.T @ dlogvar
    da = dh * (1 - h ** 2)
    dW1 = da @ x.T
    db1 = da.sum(axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "Wm": dWm, "bm": dbm, "Wv": dWv, "bv": dbv, "W2": dW2, "b2": db2,
            "W3": dW3, "b3": db3, "mu": dmu, "logvar": dlogvar, "z": dz, "g": dg, "logits": dlogits}


def two_terms(x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    N = x.shape[1]
    h = np.tanh(W1 @ x + b1)
    mean, lv = Wm @ h + bm, Wv @ h + bv
    noise = np.exp(lv / 2) * eps
    code = mean + noise
    pre = W2 @ code + b2
    hid = np.logaddexp(0, pre)
    xhat = sigma(W3 @ hid + b3)

    def layer(delta, inputs):
        return delta @ inputs.T, delta.sum(1)[:, None]

    delta3 = xhat - x
    gW3, gb3 = layer(delta3, hid)
    delta2 = (W3.T @ delta3) * (1 - np.exp(-hid))
    gW2, gb2 = layer(delta2, code)
    rec_mean = W2.T @ delta2
    rec_lv = rec_mean * noise / 2
    kl_mean = mean
    kl_lv = (np.exp(lv) - 1) / 2
    g_mean, g_lv = rec_mean + kl_mean, rec_lv + kl_lv
    gWm, gbm = layer(g_mean, h)
    gWv, gbv = layer(g_lv, h)
    delta1 = (Wm.T @ g_mean + Wv.T @ g_lv) * (1 - h * h)
    gW1, gb1 = layer(delta1, x)
    grads = dict(W1=gW1, b1=gb1, Wm=gWm, bm=gbm, Wv=gWv, bv=gbv, W2=gW2, b2=gb2, W3=gW3, b3=gb3)
    return {name: g / N for name, g in grads.items()}


def example_by_example(x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    dW1, dWm, dWv, dW2, dW3 = 0, 0, 0, 0, 0
    db1, dbm, dbv, db2, db3 = 0, 0, 0, 0, 0
    count = x.shape[1]
    for i in range(count):
        xi = x[:, i:i + 1]
        ei = eps[:, i:i + 1]
        h = np.tanh(W1 @ xi + b1)
        mu, logvar = Wm @ h + bm, Wv @ h + bv
        z = mu + np.exp(0.5 * logvar) * ei
        s = W2 @ z + b2
        g = np.log1p(np.exp(s))
        o = sigma(W3 @ g + b3)
        back = (o - xi) / count
        dW3 = dW3 + back * g.T
        db3 = db3 + back
        back = (W3.T @ back) * sigma(s)
        dW2 = dW2 + back * z.T
        db2 = db2 + back
        back_z = W2.T @ back
        back_mu = back_z + mu / count
        back_logvar = 0.5 * np.exp(0.5 * logvar) * ei * back_z + 0.5 * (np.exp(logvar) - 1) / count
        dWm = dWm + back_mu * h.T
        dbm = dbm + back_mu
        dWv = dWv + back_logvar * h.T
        dbv = dbv + back_logvar
        back = (1 - h ** 2) * (Wm.T @ back_mu + Wv.T @ back_logvar)
        dW1 = dW1 + back * xi.T
        db1 = db1 + back
    return {"dW1": dW1, "db1": db1, "dWm": dWm, "dbm": dbm, "dWv": dWv, "dbv": dbv, "dW2": dW2, "db2": db2,
            "dW3": dW3, "db3": db3}


RIGHT = (in_order, two_terms, example_by_example)

SLIPS = (
    Slip("forgot the KL term at mu", in_order, ("dmu = dz + mu / m", "dmu = dz")),
    Slip("wrong sign of the KL term at mu", in_order, ("dmu = dz + mu / m", "dmu = dz - mu / m")),
    Slip("KL at logvar: forgot the minus one", in_order,
         ("dlogvar = dlogvar + 0.5 * (np.exp(logvar) - 1) / m", "dlogvar = dlogvar + 0.5 * np.exp(logvar) / m")),
    Slip("KL's gradient replaces the one through the sample at logvar", in_order,
         ("dlogvar = dlogvar + 0.5 * (np.exp(logvar) - 1) / m", "dlogvar = 0.5 * (np.exp(logvar) - 1) / m")),
    Slip("forgot the half in the derivative of the standard deviation", in_order,
         ("dlogvar = 0.5 * std * dstd", "dlogvar = std * dstd")),
    Slip("variance instead of standard deviation in the reparametrisation's gradient", in_order,
         ("dlogvar = 0.5 * std * dstd", "dlogvar = 0.5 * std ** 2 * dstd")),
    Slip("forgot the noise at std", in_order, ("dstd = dz * eps", "dstd = dz")),
    Slip("logvar taken for the log of the standard deviation in the whole derivation", in_order,
         ("std = np.exp(0.5 * logvar)", "std = np.exp(logvar)"),
         ("dlogvar = 0.5 * std * dstd", "dlogvar = std * dstd")),
    Slip("added the KL gradient into dz in place, so std's gets it too", in_order,
         ("dmu = dz + mu / m", "dmu = dz\ndmu += mu / m")),
    Slip("squared error's output gradient: times xhat (1 - xhat)", in_order,
         ("dlogits = (sigma(logits) - x) / m", "xhat = sigma(logits)\ndlogits = (xhat - x) * xhat * (1 - xhat) / m")),
    Slip("the encoder's hidden layer hears from mu only", in_order,
         ("dh = Wm.T @ dmu + Wv.T @ dlogvar", "dh = Wm.T @ dmu")),
    Slip("mean over pixels as well as examples", in_order,
         ("dlogits = (sigma(logits) - x) / m", "dlogits = (sigma(logits) - x) / x.size")),
    Slip("derivative of the softplus evaluated at its output", in_order, ("du = dg * sigma(u)", "du = dg * sigma(g)")),
    Slip("took the softplus for a relu", in_order, ("du = dg * sigma(u)", "du = dg * (u > 0)")),
    Slip("KL not divided by the number of examples", two_terms,
         ("g_mean, g_lv = rec_mean + kl_mean, rec_lv + kl_lv",
          "g_mean, g_lv = rec_mean + N * kl_mean, rec_lv + N * kl_lv")),
    Slip("beta of a beta-VAE in the gradient", two_terms,
         ("g_mean, g_lv = rec_mean + kl_mean, rec_lv + kl_lv",
          "g_mean, g_lv = rec_mean + 0.5 * kl_mean, rec_lv + 0.5 * kl_lv")),
    Slip("mu and logvar's encoder weights exchanged on the way back", two_terms,
         ("delta1 = (Wm.T @ g_mean + Wv.T @ g_lv) * (1 - h * h)",
          "delta1 = (Wv.T @ g_mean + Wm.T @ g_lv) * (1 - h * h)")),
    Slip("the decoder's weights from the mean instead of the sampled code", two_terms,
         ("gW2, gb2 = layer(delta2, code)", "gW2, gb2 = layer(delta2, mean)")),
    Slip("two mu: half forgotten in the KL of the mean", two_terms, ("kl_mean = mean", "kl_mean = 2 * mean")),
    Slip("x minus xhat", two_terms, ("delta3 = xhat - x", "delta3 = x - xhat")),
    Slip("fresh noise for the backward pass", example_by_example,
         ("back_logvar = 0.5 * np.exp(0.5 * logvar) * ei * back_z + 0.5 * (np.exp(logvar) - 1) / count",
          "ei = np.random.default_rng(i).normal(size=mu.shape).astype(x.dtype)\n"
          "back_logvar = 0.5 * np.exp(0.5 * logvar) * ei * back_z + 0.5 * (np.exp(logvar) - 1) / count")),
    Slip("the neighbour's example in the encoder weights", example_by_example,
         ("dW1 = dW1 + back * xi.T", "dW1 = dW1 + back * x[:, i - 1]")),
    Slip("pasted bm's line for bv", example_by_example, ("dbv = dbv + back_logvar", "dbv = dbv + back_mu")),
    Slip("tanh' left out in the encoder, and the output bias keeps only the last example", example_by_example,
         ("back = (1 - h ** 2) * (Wm.T @ back_mu + Wv.T @ back_logvar)",
          "back = Wm.T @ back_mu + Wv.T @ back_logvar"),
         ("db3 = db3 + back", "db3 = back")),
)
