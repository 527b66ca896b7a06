"""Layer normalisation with a gain and a shift between two linear maps, then a relu layer and a squared error."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W0", "b0", "gain", "shift", "W1", "b1", "W2", "b2")
EPS = 0.01


def data(rng, dtype):
    values = {"x": rng.normal(size=(7, 5)), "target": rng.normal(size=(7, 3)),
              "W0": 0.6 * rng.normal(size=(5, 6)), "b0": 0.4 * rng.normal(size=6),
              "gain": 1 + 0.5 * rng.normal(size=6), "shift": 0.4 * rng.normal(size=6),
              "W1": 0.5 * rng.normal(size=(6, 6)), "b1": 0.3 * rng.normal(size=6),
              "W2": 0.5 * rng.normal(size=(6, 3)), "b2": 0.3 * rng.normal(size=3)}
    return {k: v.astype(dtype) for k, v in values.items()}


def loss(x, W0, b0, gain, shift, W1, b1, W2, b2, target):
    u = x @ W0 + b0
    mu = np.mean(u, axis=1, keepdims=True)
    centred = u - mu
    var = np.mean(centred**2, axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    normed = centred / std
    y = gain * normed + shift
    h = y @ W1 + b1
    r = np.maximum(h, 0)
    out = r @ W2 + b2
    err = out - target
    mse = np.mean(err**2)
    return mse


def stage_by_stage(x, W0, b0, gain, shift, W1, b1, W2, b2, target):
    u = x @ W0 + b0
    D = u.shape[1]
    mu = u.mean(axis=1, keepdims=True)
    centred = u - mu
    var = (centred**2).mean(axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    normed = centred / std
    y = gain * normed + shift
    h = y @ W1 + b1
    r = np.maximum(h, 0)
    err = r @ W2 + b2 - target

    dout = 2 * err / err.size
    dW2 = r.T @ dout
    db2 = dout.sum(axis=0)
    dr = dout @ W2.T
    dh = dr * (h > 0)
    dW1 = y.T @ dh
    db1 = dh.sum(axis=0)
    dy = dh @ W1.T
    dgain = (dy * normed).sum(axis=0)
    dshift = dy.sum(axis=0)
    dnormed = dy * gain
    dcentred = dnormed / std
    dstd = -(dnormed * centred / std**2).sum(axis=1, keepdims=True)
    dvar = 0.5 * dstd / std
    dcentred += dvar * 2 * centred / D
    dmu = -dcentred.sum(axis=1, keepdims=True)
    du = dcentred + dmu / D
    dW0 = x.T @ du
    db0 = du.sum(axis=0)
    return {"W0": dW0, "b0": db0, "gain": dgain, "shift": dshift, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2,
            "h": dh, "y": dy, "u": du}


def closed_form(x, W0, b0, gain, shift, W1, b1, W2, b2, target):
    u = x @ W0 + b0
    inv = 1 / np.sqrt(u.var(axis=-1, keepdims=True) + EPS)
    n = (u - u.mean(axis=-1, keepdims=True)) * inv
    y = n * gain + shift
    r = (y @ W1 + b1).clip(0)
    e = 2 / target.size * (r @ W2 + b2 - target)
    q = e @ W2.T * np.sign(r)
    p = q @ W1.T
    g = p * gain
    k = inv * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))
    return dict(W0=x.T @ k, b0=k.sum(0), gain=(p * n).sum(0), shift=p.sum(0),
                W1=y.T @ q, b1=q.sum(0), W2=r.T @ e, b2=e.sum(0))


def jacobian_per_row(x, W0, b0, gain, shift, W1, b1, W2, b2, target):
    d = {"W0": W0 * 0, "b0": b0 * 0, "gain": gain * 0, "shift": shift * 0, "W1": W1 * 0, "b1": b1 * 0,
         "W2": W2 * 0, "b2": b2 * 0}
    N, K = target.shape
    D = len(gain)
    for xi, ti in zip(x, target, strict=True):
        ui = xi @ W0 + b0
        ci = ui - ui.mean()
        si = np.sqrt(np.sum(ci**2) / D + EPS)
        ni = ci / si
        yi = gain * ni + shift
        hi = yi @ W1 + b1
        ri = np.where(hi > 0, hi, 0)
        d_out = 2 * (ri @ W2 + b2 - ti) / (N * K)
        d_r = W2 @ d_out
        d_h = np.where(hi > 0, d_r, 0)
        d_y = W1 @ d_h
        d_n = d_y * gain
        J = (np.eye(D) - 1 / D - np.outer(ni, ni) / D) / si
        d_u = J @ d_n
        d["W2"] += np.outer(ri, d_out)
        d["b2"] += d_out
        d["W1"] += np.outer(yi, d_h)
        d["b1"] += d_h
        d["gain"] += d_y * ni
        d["shift"] += d_y
        d["W0"] += np.outer(xi, d_u)
        d["b0"] += d_u
    return d


def with_helpers(x, W0, b0, gain, shift, W1, b1, W2, b2, target):
    def norm_forward(v):
        v_mean = v.sum(axis=1, keepdims=True) / v.shape[1]
        v_var = ((v - v_mean)**2).sum(axis=1, keepdims=True) / v.shape[1]
        sigma = (v_var + EPS)**0.5
        return (v - v_mean) / sigma, sigma

    def norm_backward(grad, hat, sigma):
        size = grad.shape[1]
        along_ones = grad.sum(axis=1, keepdims=True)
        along_hat = (grad * hat).sum(axis=1, keepdims=True)
        return (size * grad - along_ones - hat * along_hat) / (size * sigma)

    def linear_backward(grad, inputs, weight):
        return grad @ weight.T, np.einsum("ni,no->io", inputs, grad), grad.sum(0)

    hat, sigma = norm_forward(x @ W0 + b0)
    scaled = gain * hat + shift
    pre = scaled @ W1 + b1
    active = pre > 0
    post = pre * active
    diff = post @ W2 + b2 - target
    grad_post, grad_W2, grad_b2 = linear_backward(diff * (2 / diff.size), post, W2)
    grad_pre = grad_post * active
    grad_scaled, grad_W1, grad_b1 = linear_backward(grad_pre, scaled, W1)
    grad_gain = np.einsum("nd,nd->d", grad_scaled, hat)
    grad_shift = grad_scaled.sum(0)
    grad_u = norm_backward(grad_scaled * gain, hat, sigma)
    _, grad_W0, grad_b0 = linear_backward(grad_u, x, W0)
    return {"dW0": grad_W0, "db0": grad_b0, "dgain": grad_gain, "dshift": grad_shift, "dW1": grad_W1,
            "db1": grad_b1, "dW2": grad_W2, "db2": grad_b2}


RIGHT = (stage_by_stage, closed_form, jacobian_per_row, with_helpers)

SLIPS = (
    Slip("variance's part replaces the direct one", stage_by_stage,
         ("dcentred += dvar * 2 * centred / D", "dcentred = dvar * 2 * centred / D"),
         label=label("overwritten-accumulation dropped-path", "centred normed var std", "divide square mean sqrt")),
    Slip("variance held constant", stage_by_stage, ("dcentred += dvar * 2 * centred / D", ""),
         label=label("treated-as-constant dropped-path", "var std centred normed", "sqrt square mean divide")),
    Slip("mean held constant", stage_by_stage, ("du = dcentred + dmu / D", "du = dcentred"),
         label=label("treated-as-constant dropped-path", "mu u centred", "mean subtract")),
    Slip("mean's gradient not shared among the features", stage_by_stage,
         ("du = dcentred + dmu / D", "du = dcentred + dmu"),
         label=label("scale", "mu u centred", "mean subtract")),
    Slip("std not squared in the quotient rule", stage_by_stage,
         ("dstd = -(dnormed * centred / std**2).sum(axis=1, keepdims=True)",
          "dstd = -(dnormed * centred / std).sum(axis=1, keepdims=True)"),
         label=label("wrong-local-rule", "std normed centred", "divide")),
    Slip("variance below instead of its root", stage_by_stage,
         ("dvar = 0.5 * dstd / std", "dvar = 0.5 * dstd / var"),
         label=label("wrong-local-rule wrong-argument", "var std", "sqrt")),
    Slip("root's slope upside down", stage_by_stage, ("dvar = 0.5 * dstd / std", "dvar = 0.5 * dstd * std"),
         label=label("wrong-local-rule", "var std", "sqrt")),
    Slip("gain's gradient with the layer's output", stage_by_stage,
         ("dgain = (dy * normed).sum(axis=0)", "dgain = (dy * y).sum(axis=0)"),
         label=label("wrong-operand", "gain y normed", "multiply")),
    Slip("relu looks at the incoming gradient", stage_by_stage, ("dh = dr * (h > 0)", "dh = dr * (dr > 0)"),
         label=label("wrong-argument wrong-local-rule", "h r", "maximum")),
    Slip("epsilon outside of the root", stage_by_stage,
         ("std = np.sqrt(var + EPS)", "std = np.sqrt(var) + EPS"),
         label=label("wrong-local-rule wrong-operand stale-value", "std var normed", "sqrt add divide")),
    Slip("square's two forgotten at the variance", stage_by_stage,
         ("dcentred += dvar * 2 * centred / D", "dcentred += dvar * centred / D"),
         label=label("scale", "centred var std normed", "square mean sqrt add divide")),
    Slip("gain outside of the bracket", closed_form,
         ("g = p * gain", "g = p"),
         ("k = inv * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))",
          "k = gain * inv * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))"),
         label=label("wrong-local-rule missing-local-derivative wrong-operand",
                     "normed u centred mu std gain y", "multiply divide mean")),
    Slip("averages over the batch", closed_form,
         ("k = inv * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))",
          "k = inv * (g - g.mean(0, keepdims=True) - n * (g * n).mean(0, keepdims=True))"),
         label=label("wrong-axis", "mu var u centred std normed", "mean")),
    Slip("normalised value's last factor lost", closed_form,
         ("k = inv * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))",
          "k = inv * (g - g.mean(-1, keepdims=True) - (g * n).mean(-1, keepdims=True))"),
         label=label("wrong-local-rule missing-local-derivative",
                     "var std centred normed u", "square sqrt divide mean")),
    Slip("gain forgotten on the way down", closed_form, ("g = p * gain", "g = p"),
         label=label("missing-local-derivative", "normed gain y", "multiply")),
    Slip("first bias not through the relu", closed_form,
         ("W1=y.T @ q, b1=q.sum(0), W2=r.T @ e, b2=e.sum(0))",
          "W1=y.T @ q, b1=(e @ W2.T).sum(0), W2=r.T @ e, b2=e.sum(0))"),
         label=label("missing-local-derivative wrong-operand", "b1 h r", "maximum add")),
    Slip("shift and gain's gradients exchanged", closed_form,
         ("return dict(W0=x.T @ k, b0=k.sum(0), gain=(p * n).sum(0), shift=p.sum(0),",
          "return dict(W0=x.T @ k, b0=k.sum(0), gain=p.sum(0), shift=(p * n).sum(0),"),
         label=label("swapped", "gain shift y", "multiply add")),
    Slip("Jacobian with the centred values", jacobian_per_row,
         ("J = (np.eye(D) - 1 / D - np.outer(ni, ni) / D) / si",
          "J = (np.eye(D) - 1 / D - np.outer(ci, ci) / D) / si"),
         label=label("wrong-operand wrong-argument wrong-local-rule",
                     "centred normed u std var", "divide square sqrt")),
    Slip("Jacobian divided by the square of std", jacobian_per_row,
         ("J = (np.eye(D) - 1 / D - np.outer(ni, ni) / D) / si",
          "J = (np.eye(D) - 1 / D - np.outer(ni, ni) / D) / si**2"),
         label=label("wrong-local-rule double-derivative", "normed std centred u", "divide")),
    Slip("unbiased variance", jacobian_per_row,
         ("si = np.sqrt(np.sum(ci**2) / D + EPS)", "si = np.sqrt(np.sum(ci**2) / (D - 1) + EPS)"),
         label=label("scale wrong-local-rule wrong-operand stale-value", "var std normed", "mean sqrt divide")),
    Slip("mean over the samples only", jacobian_per_row,
         ("d_out = 2 * (ri @ W2 + b2 - ti) / (N * K)", "d_out = 2 * (ri @ W2 + b2 - ti) / N"),
         label=label("scale", "mse err out", "mean square subtract")),
    Slip("hidden weights turned in the loop", jacobian_per_row, ("d_y = W1 @ d_h", "d_y = d_h @ W1"),
         label=label("missing-transpose", "y W1 h", "matmul")),
    Slip("gain's gradient of the last row alone", jacobian_per_row,
         ('d["gain"] += d_y * ni', 'd["gain"] = d_y * ni'),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "gain y", "multiply")),
    Slip("relu's test on the normalised layer", jacobian_per_row,
         ("d_h = np.where(hi > 0, d_r, 0)", "d_h = np.where(yi > 0, d_r, 0)"),
         label=label("wrong-argument wrong-local-rule wrong-operand", "h r y", "maximum")),
    Slip("input weights with the gradient before the norm's Jacobian", jacobian_per_row,
         ('d["W0"] += np.outer(xi, d_u)', 'd["W0"] += np.outer(xi, d_n)'),
         label=label("missing-local-derivative wrong-operand", "W0 u centred normed", "matmul divide")),
    Slip("size left off the first term", with_helpers,
         ("return (size * grad - along_ones - hat * along_hat) / (size * sigma)",
          "return (grad - along_ones - hat * along_hat) / (size * sigma)"),
         label=label("scale wrong-local-rule", "centred normed u", "divide subtract")),
    Slip("last bracket added", with_helpers,
         ("return (size * grad - along_ones - hat * along_hat) / (size * sigma)",
          "return (size * grad - along_ones + hat * along_hat) / (size * sigma)"),
         label=label("sign", "var std centred normed u", "divide sqrt square mean")),
    Slip("hidden weights meet the normalised values", with_helpers,
         ("grad_scaled, grad_W1, grad_b1 = linear_backward(grad_pre, scaled, W1)",
          "grad_scaled, grad_W1, grad_b1 = linear_backward(grad_pre, hat, W1)"),
         label=label("wrong-operand", "W1 y normed h", "matmul")),
    Slip("two of the square lost and gain forgotten", with_helpers,
         ("grad_post, grad_W2, grad_b2 = linear_backward(diff * (2 / diff.size), post, W2)",
          "grad_post, grad_W2, grad_b2 = linear_backward(diff / diff.size, post, W2)"),
         ("grad_u = norm_backward(grad_scaled * gain, hat, sigma)",
          "grad_u = norm_backward(grad_scaled, hat, sigma)"),
         label=label("two", "mse err out normed gain y", "mean square multiply")),
)
