"""An embedding, a tanh block with a residual connection, layer norm with gain and bias, a linear head; samples in rows.

The epsilon of the norm is large enough to matter.
"""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("E", "W1", "b1", "g", "beta", "W2", "b2")
EPS = 0.1


def data(rng, dtype):
    return {"x": rng.normal(size=(7, 3)).astype(dtype), "y": rng.normal(size=(7, 2)).astype(dtype),
            "E": (0.7 * rng.normal(size=(3, 5))).astype(dtype), "W1": (0.6 * rng.normal(size=(5, 5))).astype(dtype),
            "b1": (0.5 * rng.normal(size=5)).astype(dtype), "g": (1 + 0.4 * rng.normal(size=5)).astype(dtype),
            "beta": (0.5 * rng.normal(size=5)).astype(dtype), "W2": (0.6 * rng.normal(size=(5, 2))).astype(dtype),
            "b2": (0.5 * rng.normal(size=2)).astype(dtype)}


def loss(x, y, E, W1, b1, g, beta, W2, b2):
    h = np.einsum("ni,id->nd", x, E)
    u = h @ W1 + b1
    f = np.tanh(u)
    r = h + f
    mu = np.mean(r, axis=1, keepdims=True)
    c = r - mu
    var = np.mean(c * c, axis=1, keepdims=True)
    sd = np.sqrt(var + EPS)
    xhat = c / sd
    n = g * xhat + beta
    out = n @ W2 + b2
    diff = out - y
    loss = 0.5 * np.sum(diff ** 2, axis=1).mean()
    return loss


def long_form(x, y, E, W1, b1, g, beta, W2, b2):
    m = x.shape[0]
    h = x @ E
    u = h @ W1 + b1
    f = np.tanh(u)
    r = h + f
    d = r.shape[1]
    mu = r.mean(axis=1, keepdims=True)
    c = r - mu
    var = (c ** 2).mean(axis=1, keepdims=True)
    inv = 1 / np.sqrt(var + EPS)
    xhat = c * inv
    n = g * xhat + beta
    out = n @ W2 + b2
    dout = (out - y) / m
    dW2 = n.T @ dout
    db2 = dout.sum(axis=0)
    dn = dout @ W2.T
    dg = (dn * xhat).sum(axis=0)
    dbeta = dn.sum(axis=0)
    dxhat = dn * g
    dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 3
    dc = dxhat * inv + dvar * 2 * c / d
    dmu = -dc.sum(axis=1, keepdims=True)
    dr = dc + dmu / d
    du = dr * (1 - f ** 2)
    dW1 = h.T @ du
    db1 = du.sum(axis=0)
    dh = dr + du @ W1.T
    dE = x.T @ dh
    return {"E": dE, "W1": dW1, "b1": db1, "g": dg, "beta": dbeta, "W2": dW2, "b2": db2, "r": dr, "h": dh}


def compact(x, y, E, W1, b1, g, beta, W2, b2):
    h = x @ E
    f = np.tanh(h @ W1 + b1)
    r = h + f
    std = np.sqrt(r.var(axis=-1, keepdims=True) + EPS)
    xh = (r - r.mean(axis=-1, keepdims=True)) / std
    e = (xh * g + beta) @ W2 + b2 - y
    e = e / len(e)
    gy = e @ W2.T
    gx = gy * g
    gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std
    gu = gr * (1 - f * f)
    gh = gr + gu @ W1.T
    return {"dE": x.T @ gh,
            "dW1": h.T @ gu,
            "db1": gu.sum(0),
            "dg": (gy * xh).sum(0),
            "dbeta": gy.sum(0),
            "dW2": (g * xh + beta).T @ e,
            "db2": e.sum(0)}


def forward_loop_then_backward_loop(x, y, E, W1, b1, g, beta, W2, b2):
    m, d = len(x), len(g)
    hs, fs, xhats, invs = [], [], [], []
    for i in range(m):
        h = E.T @ x[i]
        f = np.tanh(W1.T @ h + b1)
        r = h + f
        inv = (r.var() + EPS) ** -0.5
        xhat = (r - r.mean()) * inv
        hs.append(h)
        fs.append(f)
        xhats.append(xhat)
        invs.append(inv)
    dE, dW1, db1 = np.zeros_like(E), np.zeros_like(W1), np.zeros_like(b1)
    dg, dbeta = np.zeros_like(g), np.zeros_like(beta)
    dW2, db2 = np.zeros_like(W2), np.zeros_like(b2)
    for i in range(m):
        normed = g * xhats[i] + beta
        dout = (W2.T @ normed + b2 - y[i]) / m
        dW2 = dW2 + np.outer(normed, dout)
        db2 = db2 + dout
        dnormed = W2 @ dout
        dg = dg + dnormed * xhats[i]
        dbeta = dbeta + dnormed
        dxhat = g * dnormed
        dr = invs[i] * (dxhat - dxhat.mean() - xhats[i] * (dxhat @ xhats[i]) / d)
        du = dr * (1 - fs[i] ** 2)
        dW1 = dW1 + np.outer(hs[i], du)
        db1 = db1 + du
        dh = W1 @ du
        dh = dh + dr
        dE = dE + np.outer(x[i], dh)
    return {"E": dE, "W1": dW1, "b1": db1, "g": dg, "beta": dbeta, "W2": dW2, "b2": db2}


def jacobian_of_the_norm(x, y, E, W1, b1, g, beta, W2, b2):
    m = len(y)
    h = x @ E
    pre = h @ W1 + b1
    r = h + np.tanh(pre)
    k = r.shape[1]
    s = np.sqrt(np.var(r, axis=1) + EPS)
    xhat = (r - r.mean(axis=1)[:, None]) / s[:, None]
    n = g * xhat + beta
    d_out = (n @ W2 + b2 - y) / m
    d_n = np.einsum("nk,dk->nd", d_out, W2)
    d_g = np.einsum("nd,nd->d", d_n, xhat)
    d_xhat = np.einsum("nd,d->nd", d_n, g)
    J = np.eye(k) - 1 / k - np.einsum("ni,nj->nij", xhat, xhat) / k
    J = J / s[:, None, None]
    d_r = np.einsum("nij,nj->ni", J, d_xhat)
    d_pre = d_r / np.cosh(pre) ** 2
    d_h = d_r + np.einsum("nj,ij->ni", d_pre, W1)
    return {"E": np.einsum("ni,nd->id", x, d_h), "W1": np.einsum("ni,nj->ij", h, d_pre), "b1": d_pre.sum(0),
            "g": d_g, "beta": d_n.sum(0), "W2": np.einsum("nd,nk->dk", n, d_out), "b2": d_out.sum(0)}


RIGHT = (long_form, compact, forward_loop_then_backward_loop, jacobian_of_the_norm)

SLIPS = (
    Slip("the residual was added in place to h itself", long_form, ("r = h + f", "r = h\nr += f")),
    Slip("epsilon added to the standard deviation", long_form,
         ("inv = 1 / np.sqrt(var + EPS)", "inv = 1 / (np.sqrt(var) + EPS)")),
    Slip("the gain's gradient from the output of the norm", long_form,
         ("dg = (dn * xhat).sum(axis=0)", "dg = (dn * n).sum(axis=0)")),
    Slip("the gain's gradient over the features", long_form,
         ("dg = (dn * xhat).sum(axis=0)", "dg = (dn * xhat).sum(axis=1)")),
    Slip("the gain forgot xhat, copied from the bias", long_form,
         ("dg = (dn * xhat).sum(axis=0)", "dg = dn.sum(axis=0)")),
    Slip("the bias of the norm behind the gain", long_form,
         ("dbeta = dn.sum(axis=0)", "dbeta = (dn * g).sum(axis=0)")),
    Slip("went past the gain", long_form, ("dxhat = dn * g", "dxhat = dn")),
    Slip("the power of the inverse deviation stayed at two", long_form,
         ("dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 3",
          "dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 2")),
    Slip("dvar with the features before centring", long_form,
         ("dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 3",
          "dvar = (dxhat * r).sum(axis=1, keepdims=True) * -0.5 * inv ** 3")),
    Slip("dvar with the normalised features", long_form,
         ("dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 3",
          "dvar = (dxhat * xhat).sum(axis=1, keepdims=True) * -0.5 * inv ** 3")),
    Slip("dvar summed over the samples", long_form,
         ("dvar = (dxhat * c).sum(axis=1, keepdims=True) * -0.5 * inv ** 3",
          "dvar = (dxhat * c).sum(axis=0, keepdims=True) * -0.5 * inv ** 3")),
    Slip("no two from the square in the variance", long_form,
         ("dc = dxhat * inv + dvar * 2 * c / d", "dc = dxhat * inv + dvar * c / d")),
    Slip("the first part of dc left without inv", long_form,
         ("dc = dxhat * inv + dvar * 2 * c / d", "dc = dxhat + dvar * 2 * c / d")),
    Slip("d is the number of samples", long_form, ("d = r.shape[1]", "d = r.shape[0]")),
    Slip("dmu before the variance's share, with a plus", long_form,
         ("dmu = -dc.sum(axis=1, keepdims=True)", "dmu = (dxhat * inv).sum(axis=1, keepdims=True)")),
    Slip("tanh' at the sum instead of at the block's output", long_form,
         ("du = dr * (1 - f ** 2)", "du = dr * (1 - r ** 2)")),
    Slip("the slope of a logistic in place of tanh'", long_form,
         ("du = dr * (1 - f ** 2)", "du = dr * f * (1 - f)")),
    Slip("W1 from the block's output", long_form, ("dW1 = h.T @ du", "dW1 = f.T @ du")),
    Slip("only the block's way back, not the shortcut", long_form,
         ("dh = dr + du @ W1.T", "dh = du @ W1.T")),
    Slip("only the shortcut's way back", long_form, ("dh = dr + du @ W1.T", "dh = dr")),
    Slip("the shortcut carried the gradient from before the norm", long_form,
         ("dh = dr + du @ W1.T", "dh = dxhat + du @ W1.T")),
    Slip("the means over the samples, as batch norm has them", compact,
         ("gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std",
          "gr = (gx - gx.mean(0) - xh * (gx * xh).mean(0)) / std")),
    Slip("the gain multiplied at the end, outside the means", compact,
         ("gx = gy * g", "gx = gy"),
         ("gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std",
          "gr = g * (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std")),
    Slip("the gain multiplied at both ends", compact,
         ("gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std",
          "gr = g * (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std")),
    Slip("std held fixed in the short formula", compact,
         ("gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std",
          "gr = (gx - gx.mean(-1, keepdims=True)) / std")),
    Slip("the last term of the short formula with a plus", compact,
         ("gr = (gx - gx.mean(-1, keepdims=True) - xh * (gx * xh).mean(-1, keepdims=True)) / std",
          "gr = (gx - gx.mean(-1, keepdims=True) + xh * (gx * xh).mean(-1, keepdims=True)) / std")),
    Slip("variance with d - 1 in the forward pass", compact,
         ("std = np.sqrt(r.var(axis=-1, keepdims=True) + EPS)",
          "std = np.sqrt(r.var(axis=-1, keepdims=True, ddof=1) + EPS)")),
    Slip("W2 from xhat, without gain and bias", compact,
         ('"dW2": (g * xh + beta).T @ e,', '"dW2": xh.T @ e,')),
    Slip("gain and bias exchanged in the return", compact,
         ('"dg": (gy * xh).sum(0),', '"dg": gy.sum(0),'), ('"dbeta": gy.sum(0),', '"dbeta": (gy * xh).sum(0),')),
    Slip("inv is what the forward loop left behind", forward_loop_then_backward_loop,
         ("dr = invs[i] * (dxhat - dxhat.mean() - xhats[i] * (dxhat @ xhats[i]) / d)",
          "dr = inv * (dxhat - dxhat.mean() - xhats[i] * (dxhat @ xhats[i]) / d)")),
    Slip("W1's outer product with the h of the last sample", forward_loop_then_backward_loop,
         ("dW1 = dW1 + np.outer(hs[i], du)", "dW1 = dW1 + np.outer(h, du)")),
    Slip("the gain's gradient starts over at each sample", forward_loop_then_backward_loop,
         ("dg = dg + dnormed * xhats[i]", "dg = dnormed * xhats[i]")),
    Slip("W1 transposed in the loop", forward_loop_then_backward_loop, ("dh = W1 @ du", "dh = W1.T @ du")),
    Slip("E with the input of the sample before", forward_loop_then_backward_loop,
         ("dE = dE + np.outer(x[i], dh)", "dE = dE + np.outer(x[i - 1], dh)")),
    Slip("the Jacobian of the norm without its ones", jacobian_of_the_norm,
         ("J = np.eye(k) - 1 / k - np.einsum(\"ni,nj->nij\", xhat, xhat) / k",
          "J = np.eye(k) - np.einsum(\"ni,nj->nij\", xhat, xhat) / k")),
    Slip("divides the Jacobian by the variance", jacobian_of_the_norm,
         ("J = J / s[:, None, None]", "J = J / s[:, None, None] ** 2")),
    Slip("only the diagonal of the norm's Jacobian", jacobian_of_the_norm,
         ("d_r = np.einsum(\"nij,nj->ni\", J, d_xhat)", "d_r = np.einsum(\"nii,ni->ni\", J, d_xhat)")),
    Slip("cosh without the square, and the errors summed", jacobian_of_the_norm,
         ("d_pre = d_r / np.cosh(pre) ** 2", "d_pre = d_r / np.cosh(pre)"),
         ("d_out = (n @ W2 + b2 - y) / m", "d_out = n @ W2 + b2 - y")),
)
