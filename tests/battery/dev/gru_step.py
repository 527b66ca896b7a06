"""One step of a gated recurrent unit without biases, from a trained state, squared error."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("h", "Wz", "Uz", "Wr", "Ur", "Wn", "Un")


def data(rng, dtype):
    weights = {name: (0.7 * rng.normal(size=(3 if name[0] == "W" else 4, 4))).astype(dtype) for name in PARAMETERS[1:]}
    return {"x": rng.normal(size=(5, 3)).astype(dtype), "y": rng.normal(size=(5, 4)).astype(dtype),
            "h": rng.normal(size=(5, 4)).astype(dtype), **weights}


def loss(x, y, h, Wz, Uz, Wr, Ur, Wn, Un):
    pz = x @ Wz + h @ Uz
    z = ad.sigmoid(pz)
    pr = x @ Wr + h @ Ur
    r = ad.sigmoid(pr)
    q = r * h
    pn = x @ Wn + q @ Un
    n = np.tanh(pn)
    new = (1 - z) * n + z * h
    loss = np.mean((new - y) ** 2)
    return loss


def sigma(t):
    return 1 / (1 + np.exp(-t))


def gates(x, y, h, Wz, Uz, Wr, Ur, Wn, Un):
    z = sigma(x @ Wz + h @ Uz)
    r = sigma(x @ Wr + h @ Ur)
    q = r * h
    n = np.tanh(x @ Wn + q @ Un)
    new = (1 - z) * n + z * h
    dnew = 2 * (new - y) / y.size
    dn = dnew * (1 - z)
    dz = dnew * (h - n)
    dh = dnew * z
    dpn = dn * (1 - n ** 2)
    dWn = x.T @ dpn
    dUn = q.T @ dpn
    dq = dpn @ Un.T
    dr = dq * h
    dh = dh + dq * r
    dpr = dr * r * (1 - r)
    dWr = x.T @ dpr
    dUr = h.T @ dpr
    dh = dh + dpr @ Ur.T
    dpz = dz * z * (1 - z)
    dWz = x.T @ dpz
    dUz = h.T @ dpz
    dh = dh + dpz @ Uz.T
    return {"h": dh, "Wz": dWz, "Uz": dUz, "Wr": dWr, "Ur": dUr, "Wn": dWn, "Un": dUn}


def stacked(x, y, h, Wz, Uz, Wr, Ur, Wn, Un):
    z, r = sigma(x @ Wz + h @ Uz), sigma(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    e = (n + z * (h - n) - y) / (y.size / 2)
    gn = e * (1 - z) * (1 + n) * (1 - n)
    gq = gn @ Un.T
    gz = e * (h - n) * (z - z * z)
    gr = gq * h * (r - r * r)
    xh = np.concatenate([x, h], axis=1).T
    Gz, Gr = xh @ gz, xh @ gr
    gh = e * z + gq * r + gr @ Ur.T + gz @ Uz.T
    return {"h": gh, "Wz": Gz[:3], "Uz": Gz[3:], "Wr": Gr[:3], "Ur": Gr[3:], "Wn": x.T @ gn, "Un": (r * h).T @ gn}


RIGHT = (gates, stacked)

SLIPS = (
    Slip("forgot the candidate in z", gates, ("dz = dnew * (h - n)", "dz = dnew * h")),
    Slip("sign of z's gradient", gates, ("dz = dnew * (h - n)", "dz = dnew * (n - h)")),
    Slip("z and 1 - z exchanged", gates, ("dn = dnew * (1 - z)", "dn = dnew * z")),
    Slip("h through the gates only", gates, ("dh = dnew * z", "dh = 0 * h")),
    Slip("h forgets the reset gate's product", gates, ("dh = dh + dq * r", "")),
    Slip("h overwritten at the reset gate", gates, ("dh = dh + dpr @ Ur.T", "dh = dpr @ Ur.T")),
    Slip("the reset gate held constant", gates, ("dr = dq * h", "dr = 0 * r")),
    Slip("r for h in the product", gates, ("dr = dq * h", "dr = dq * r")),
    Slip("forgot the reset in Un", gates, ("dUn = q.T @ dpn", "dUn = h.T @ dpn")),
    Slip("the new state in Uz", gates, ("dUz = h.T @ dpz", "dUz = new.T @ dpz")),
    Slip("forgot sigmoid' of r", gates, ("dpr = dr * r * (1 - r)", "dpr = dr")),
    Slip("tanh' for sigmoid' of z", gates, ("dpz = dz * z * (1 - z)", "dpz = dz * (1 - z ** 2)")),
    Slip("sigmoid' of r at z", gates, ("dpr = dr * r * (1 - r)", "dpr = dr * z * (1 - z)")),
    Slip("Un not transposed", gates, ("dq = dpn @ Un.T", "dq = dpn @ Un")),
    Slip("mean over the samples only", gates, ("dnew = 2 * (new - y) / y.size", "dnew = 2 * (new - y) / len(y)")),
    Slip("Uz and Ur swapped", gates,
         ('return {"h": dh, "Wz": dWz, "Uz": dUz, "Wr": dWr, "Ur": dUr, "Wn": dWn, "Un": dUn}',
          'return {"h": dh, "Wz": dWz, "Uz": dUr, "Wr": dWr, "Ur": dUz, "Wn": dWn, "Un": dUn}')),
    Slip("no derivative of either gate", stacked, ("gz = e * (h - n) * (z - z * z)", "gz = e * (h - n)"),
         ("gr = gq * h * (r - r * r)", "gr = gq * h")),
    Slip("tanh' with 1 + n squared", stacked,
         ("gn = e * (1 - z) * (1 + n) * (1 - n)", "gn = e * (1 - z) * (1 + n) * (1 + n)")),
    Slip("h misses z's pre-activation", stacked,
         ("gh = e * z + gq * r + gr @ Ur.T + gz @ Uz.T", "gh = e * z + gq * r + gr @ Ur.T")),
    Slip("tanh' forgotten, and Uz untransposed", stacked,
         ("gn = e * (1 - z) * (1 + n) * (1 - n)", "gn = e * (1 - z)"),
         ("gh = e * z + gq * r + gr @ Ur.T + gz @ Uz.T", "gh = e * z + gq * r + gr @ Ur.T + gz @ Uz")),
)
