"""A variational autoencoder: a tanh layer, mean and log variance, noise that is given, and a tanh decoder."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "Wmu", "bmu", "Wlv", "blv", "W2", "b2", "W3", "b3")
BETA = 0.3


def data(rng, dtype):
    shapes = {"x": (6, 5), "eps": (6, 3), "W1": (4, 5), "b1": (4,), "Wmu": (3, 4), "bmu": (3,), "Wlv": (3, 4),
              "blv": (3,), "W2": (4, 3), "b2": (4,), "W3": (5, 4), "b3": (5,)}
    scale = {"x": 1.0, "eps": 1.0}
    return {name: (scale.get(name, 0.6) * rng.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}


def loss(x, eps, W1, b1, Wmu, bmu, Wlv, blv, W2, b2, W3, b3):
    pre = x @ W1.T + b1
    h = np.tanh(pre)
    mu = h @ Wmu.T + bmu
    logvar = h @ Wlv.T + blv
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    g_pre = z @ W2.T + b2
    g = np.tanh(g_pre)
    xhat = g @ W3.T + b3
    err = xhat - x
    recon = 0.5 * np.sum(err ** 2, axis=1)
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
    elbo = recon + BETA * kl
    total = np.mean(elbo)
    return total


def layer_by_layer(x, eps, W1, b1, Wmu, bmu, Wlv, blv, W2, b2, W3, b3):
    m = x.shape[0]
    A1 = np.tanh(x @ W1.T + b1)
    mu = A1 @ Wmu.T + bmu
    logvar = A1 @ Wlv.T + blv
    std = np.exp(logvar / 2)
    z = mu + std * eps
    A2 = np.tanh(z @ W2.T + b2)
    x_hat = A2 @ W3.T + b3
    dx_hat = (x_hat - x) / m
    dW3 = dx_hat.T @ A2
    db3 = np.sum(dx_hat, axis=0)
    dA2 = dx_hat @ W3
    dZ2 = dA2 * (1 - np.power(A2, 2))
    dW2 = dZ2.T @ z
    db2 = np.sum(dZ2, axis=0)
    dz = dZ2 @ W2
    dmu = dz.copy()
    dstd = dz * eps
    dlogvar = dstd * std * 0.5
    dmu += BETA * mu / m
    dlogvar += -0.5 * BETA * (1 - np.exp(logvar)) / m
    dWmu = dmu.T @ A1
    dbmu = np.sum(dmu, axis=0)
    dWlv = dlogvar.T @ A1
    dblv = np.sum(dlogvar, axis=0)
    dA1 = dmu @ Wmu
    dA1 += dlogvar @ Wlv
    dZ1 = dA1 * (1 - np.power(A1, 2))
    dW1 = dZ1.T @ x
    db1 = np.sum(dZ1, axis=0)
    return {"xhat": dx_hat, "g": dA2, "z": dz, "std": dstd, "mu": dmu, "logvar": dlogvar, "h": dA1, "W1": dW1,
            "b1": db1, "Wmu": dWmu, "bmu": dbmu, "Wlv": dWlv, "blv": dblv, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def encoder_and_decoder(x, eps, W1, b1, Wmu, bmu, Wlv, blv, W2, b2, W3, b3):
    def encoder_forward(x):
        h = np.tanh(x @ W1.T + b1)
        return h @ Wmu.T + bmu, h @ Wlv.T + blv, h

    def decoder_forward(z):
        g = np.tanh(z @ W2.T + b2)
        return g @ W3.T + b3, (z, g)

    def linear_backward(d_out, inp, W):
        return d_out @ W, d_out.T @ inp, d_out.sum(0)

    def tanh_backward(d_out, out):
        return d_out * (1 - out * out)

    def kl_backward(mu, logvar):
        return mu, 0.5 * (np.exp(logvar) - 1)

    n = len(x)
    mu, logvar, h = encoder_forward(x)
    sigma = np.sqrt(np.exp(logvar))
    xhat, (z, g) = decoder_forward(mu + sigma * eps)
    grads = {}
    d_g, grads["W3"], grads["b3"] = linear_backward(xhat - x, g, W3)
    d_z, grads["W2"], grads["b2"] = linear_backward(tanh_backward(d_g, g), z, W2)
    kl_mu, kl_logvar = kl_backward(mu, logvar)
    d_mu = d_z + BETA * kl_mu
    d_logvar = 0.5 * d_z * eps * sigma + BETA * kl_logvar
    d_h_mu, grads["Wmu"], grads["bmu"] = linear_backward(d_mu, h, Wmu)
    d_h_lv, grads["Wlv"], grads["blv"] = linear_backward(d_logvar, h, Wlv)
    d_pre = tanh_backward(d_h_mu + d_h_lv, h)
    _, grads["W1"], grads["b1"] = linear_backward(d_pre, x, W1)
    return {"d" + name: grad / n for name, grad in grads.items()}


def two_terms_apart(x, eps, W1, b1, Wmu, bmu, Wlv, blv, W2, b2, W3, b3):
    N = x.shape[0]
    h = np.tanh(x @ W1.T + b1)
    mu, lv = h @ Wmu.T + bmu, h @ Wlv.T + blv
    var = np.exp(lv)
    z = mu + np.sqrt(var) * eps
    g = np.tanh(z @ W2.T + b2)
    delta_out = (g @ W3.T + b3 - x) / N
    delta_g = (delta_out @ W3) * (1 - g ** 2)
    delta_z = delta_g @ W2
    rec_mu = delta_z
    rec_lv = delta_z * (z - mu) / 2
    rec_h = (rec_mu @ Wmu + rec_lv @ Wlv) * (1 - h ** 2)
    kl_mu = mu / N
    kl_lv = (var - 1) / (2 * N)
    kl_h = (kl_mu @ Wmu + kl_lv @ Wlv) * (1 - h ** 2)
    out = {"W3": np.einsum("no,ng->og", delta_out, g), "b3": np.einsum("no->o", delta_out)}
    out["W2"] = np.einsum("ng,nz->gz", delta_g, z)
    out["b2"] = np.einsum("ng->g", delta_g)
    out["Wmu"] = rec_mu.T @ h + BETA * kl_mu.T @ h
    out["bmu"] = rec_mu.sum(axis=0) + BETA * kl_mu.sum(axis=0)
    out["Wlv"] = rec_lv.T @ h + BETA * kl_lv.T @ h
    out["blv"] = rec_lv.sum(axis=0) + BETA * kl_lv.sum(axis=0)
    out["W1"] = rec_h.T @ x + BETA * kl_h.T @ x
    out["b1"] = rec_h.sum(axis=0) + BETA * kl_h.sum(axis=0)
    return out


def example_by_example(x, eps, W1, b1, Wmu, bmu, Wlv, blv, W2, b2, W3, b3):
    gW1, gWmu, gWlv, gW2, gW3 = [np.zeros_like(W) for W in (W1, Wmu, Wlv, W2, W3)]
    gb1, gbmu, gblv, gb2, gb3 = [np.zeros_like(b) for b in (b1, bmu, blv, b2, b3)]
    for xi, e in zip(x, eps, strict=True):
        hi = np.tanh(W1 @ xi + b1)
        mi = Wmu @ hi + bmu
        li = Wlv @ hi + blv
        si = np.exp(0.5 * li)
        zi = mi + e * si
        gi = np.tanh(W2 @ zi + b2)
        d_xhat = (W3 @ gi + b3 - xi) / len(x)
        d_gpre = (1 - gi ** 2) * (W3.T @ d_xhat)
        d_zi = W2.T @ d_gpre
        d_mi = d_zi + BETA / len(x) * mi
        d_si = d_zi * e + BETA / len(x) * (si - 1 / si)
        d_li = d_si * si / 2
        d_hi = Wmu.T @ d_mi + Wlv.T @ d_li
        d_pre = (1 - hi ** 2) * d_hi
        gW3 += np.outer(d_xhat, gi)
        gb3 += d_xhat
        gW2 += np.outer(d_gpre, zi)
        gb2 += d_gpre
        gWmu += np.outer(d_mi, hi)
        gbmu += d_mi
        gWlv += np.outer(d_li, hi)
        gblv += d_li
        gW1 += np.outer(d_pre, xi)
        gb1 += d_pre
    return {"W1": gW1, "b1": gb1, "Wmu": gWmu, "bmu": gbmu, "Wlv": gWlv, "blv": gblv, "W2": gW2, "b2": gb2,
            "W3": gW3, "b3": gb3}


RIGHT = (layer_by_layer, encoder_and_decoder, two_terms_apart, example_by_example)

SLIPS = (
    Slip("no one minus in the decoder's tanh", layer_by_layer,
         ("dZ2 = dA2 * (1 - np.power(A2, 2))", "dZ2 = dA2 * np.power(A2, 2)"),
         label=label("wrong-local-rule", "g_pre g", "tanh")),
    Slip("noise forgotten in the standard deviation", layer_by_layer, ("dstd = dz * eps", "dstd = dz"),
         label=label("missing-local-derivative wrong-operand", "std z eps", "multiply")),
    Slip("half of the log variance forgotten", layer_by_layer,
         ("dlogvar = dstd * std * 0.5", "dlogvar = dstd * std"),
         label=label("scale missing-local-derivative", "logvar std", "exp multiply")),
    Slip("log variance taken for the standard deviation in its own derivative", layer_by_layer,
         ("dlogvar = dstd * std * 0.5", "dlogvar = dstd * logvar * 0.5"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "logvar std", "exp")),
    Slip("KL with the wrong sign at the log variance", layer_by_layer,
         ("dlogvar += -0.5 * BETA * (1 - np.exp(logvar)) / m", "dlogvar += 0.5 * BETA * (1 - np.exp(logvar)) / m"),
         label=label("sign", "logvar kl", "exp subtract add multiply sum")),
    Slip("KL not averaged at the mean", layer_by_layer, ("dmu += BETA * mu / m", "dmu += BETA * mu"),
         label=label("scale", "mu kl elbo", "square subtract multiply sum mean")),
    Slip("KL set over the reconstruction at the mean", layer_by_layer,
         ("dmu += BETA * mu / m", "dmu = BETA * mu / m"),
         label=label("overwritten-accumulation dropped-path", "mu z", "add")),
    Slip("log variance does not reach the encoder's layer", layer_by_layer, ("dA1 += dlogvar @ Wlv", ""),
         label=label("dropped-path", "h logvar Wlv", "matmul")),
    Slip("mean of the bias once more", layer_by_layer,
         ("db2 = np.sum(dZ2, axis=0)", "db2 = np.mean(dZ2, axis=0)"),
         label=label("scale", "b2 g_pre", "add")),
    Slip("decoder's first weights see the mean, not the sample", layer_by_layer,
         ("dW2 = dZ2.T @ z", "dW2 = dZ2.T @ mu"),
         label=label("wrong-operand", "W2 z mu g_pre", "matmul")),
    Slip("decoder's activation in the encoder's tanh", layer_by_layer,
         ("dZ1 = dA1 * (1 - np.power(A1, 2))", "dZ1 = dA1 * (1 - np.power(A2, 2))"),
         label=label("wrong-argument wrong-operand", "pre h g", "tanh")),
    Slip("beta forgotten for the log variance", encoder_and_decoder,
         ("d_logvar = 0.5 * d_z * eps * sigma + BETA * kl_logvar", "d_logvar = 0.5 * d_z * eps * sigma + kl_logvar"),
         label=label("scale", "logvar kl elbo", "exp subtract add multiply sum")),
    Slip("KL of the log variance without its exponential", encoder_and_decoder,
         ("return mu, 0.5 * (np.exp(logvar) - 1)", "return mu, 0.5 * (logvar - 1)"),
         label=label("wrong-argument wrong-local-rule", "logvar kl", "exp subtract sum")),
    Slip("KL without the minus one", encoder_and_decoder,
         ("return mu, 0.5 * (np.exp(logvar) - 1)", "return mu, 0.5 * np.exp(logvar)"),
         label=label("dropped-path missing-term", "logvar kl", "add subtract sum")),
    Slip("square of the mean not halved by its derivative", encoder_and_decoder,
         ("return mu, 0.5 * (np.exp(logvar) - 1)", "return 2 * mu, 0.5 * (np.exp(logvar) - 1)"),
         label=label("scale", "mu kl", "square subtract multiply sum")),
    Slip("sampling taken for a constant, so nothing from the reconstruction for the variance", encoder_and_decoder,
         ("d_logvar = 0.5 * d_z * eps * sigma + BETA * kl_logvar", "d_logvar = BETA * kl_logvar"),
         label=label("dropped-path treated-as-constant", "logvar std z", "multiply exp add")),
    Slip("variance where the deviation belongs", encoder_and_decoder,
         ("d_logvar = 0.5 * d_z * eps * sigma + BETA * kl_logvar",
          "d_logvar = 0.5 * d_z * eps * sigma ** 2 + BETA * kl_logvar"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "logvar std", "exp multiply")),
    Slip("backward of both heads with the same weights", encoder_and_decoder,
         ('d_h_lv, grads["Wlv"], grads["blv"] = linear_backward(d_logvar, h, Wlv)',
          'd_h_lv, grads["Wlv"], grads["blv"] = linear_backward(d_logvar, h, Wmu)'),
         label=label("wrong-operand", "h logvar Wlv Wmu", "matmul")),
    Slip("decoder's tanh skipped", encoder_and_decoder,
         ('d_z, grads["W2"], grads["b2"] = linear_backward(tanh_backward(d_g, g), z, W2)',
          'd_z, grads["W2"], grads["b2"] = linear_backward(d_g, z, W2)'),
         label=label("missing-local-derivative", "g_pre g", "tanh")),
    Slip("helper's tanh as one minus the output", encoder_and_decoder,
         ("return d_out * (1 - out * out)", "return d_out * (1 - out)"),
         label=label("wrong-local-rule", "g_pre g pre h", "tanh")),
    Slip("KL's part forgotten in the first layer", two_terms_apart,
         ('out["W1"] = rec_h.T @ x + BETA * kl_h.T @ x', 'out["W1"] = rec_h.T @ x'),
         ('out["b1"] = rec_h.sum(axis=0) + BETA * kl_h.sum(axis=0)', 'out["b1"] = rec_h.sum(axis=0)'),
         label=label("dropped-path missing-term", "pre W1 b1 h mu logvar kl", "tanh matmul add sum")),
    Slip("half of the log variance's KL forgotten", two_terms_apart,
         ("kl_lv = (var - 1) / (2 * N)", "kl_lv = (var - 1) / N"),
         label=label("scale", "logvar kl", "exp subtract add multiply sum")),
    Slip("sample not centred in the variance's gradient", two_terms_apart,
         ("rec_lv = delta_z * (z - mu) / 2", "rec_lv = delta_z * z / 2"),
         label=label("wrong-operand wrong-argument extra-term", "logvar std z mu", "exp multiply subtract")),
    Slip("beta on the reconstruction instead, for the mean's head", two_terms_apart,
         ('out["Wmu"] = rec_mu.T @ h + BETA * kl_mu.T @ h', 'out["Wmu"] = BETA * rec_mu.T @ h + kl_mu.T @ h'),
         label=label("scale swapped two", "Wmu mu z kl elbo", "matmul multiply")),
    Slip("heads crossed for the KL on its way to h", two_terms_apart,
         ("kl_h = (kl_mu @ Wmu + kl_lv @ Wlv) * (1 - h ** 2)", "kl_h = (kl_lv @ Wmu + kl_mu @ Wlv) * (1 - h ** 2)"),
         label=label("swapped wrong-operand", "h mu logvar Wmu Wlv kl", "matmul")),
    Slip("tanh only on the second of two summands", two_terms_apart,
         ("rec_h = (rec_mu @ Wmu + rec_lv @ Wlv) * (1 - h ** 2)",
          "rec_h = rec_mu @ Wmu + rec_lv @ Wlv * (1 - h ** 2)"),
         label=label("missing-local-derivative", "pre h mu", "tanh")),
    Slip("input minus output", two_terms_apart,
         ("delta_out = (g @ W3.T + b3 - x) / N", "delta_out = (x - g @ W3.T - b3) / N"),
         label=label("sign", "xhat err recon elbo", "subtract square sum multiply add")),
    Slip("mean of the squares over the pixels too", example_by_example,
         ("d_xhat = (W3 @ gi + b3 - xi) / len(x)", "d_xhat = (W3 @ gi + b3 - xi) / x.size"),
         label=label("scale", "xhat err recon elbo", "subtract square sum multiply add mean")),
    Slip("noise divided out, not multiplied in", example_by_example,
         ("d_si = d_zi * e + BETA / len(x) * (si - 1 / si)", "d_si = d_zi / e + BETA / len(x) * (si - 1 / si)"),
         label=label("wrong-local-rule wrong-operand", "std z eps", "multiply")),
    Slip("KL of the deviation with plus one over it", example_by_example,
         ("d_si = d_zi * e + BETA / len(x) * (si - 1 / si)", "d_si = d_zi * e + BETA / len(x) * (si + 1 / si)"),
         label=label("sign wrong-local-rule", "logvar std kl", "add subtract sum exp")),
    Slip("KL of the mean taken at the sample", example_by_example,
         ("d_mi = d_zi + BETA / len(x) * mi", "d_mi = d_zi + BETA / len(x) * zi"),
         label=label("wrong-argument wrong-operand", "mu kl z", "square subtract")),
    Slip("log variance's bias is the mean's, copied", example_by_example, ("gblv += d_li", "gblv += d_mi"),
         label=label("wrong-operand swapped", "blv logvar mu bmu", "add")),
    Slip("deviation's gradient handed on as the log variance's", example_by_example,
         ("d_li = d_si * si / 2", "d_li = d_si"),
         label=label("missing-local-derivative", "logvar std", "exp multiply")),
    Slip("last example only for W2, and half for the log variance lost", example_by_example,
         ("gW2 += np.outer(d_gpre, zi)", "gW2 = np.outer(d_gpre, zi)"), ("d_li = d_si * si / 2", "d_li = d_si * si"),
         label=label("two", "W2 g_pre z logvar std kl", "matmul exp multiply")),
)
