"""Word vectors by skip-gram with negative sampling, in loops and in arrays."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("U", "V")


def data(rng, dtype):
    return {"U": rng.normal(size=(7, 4)).astype(dtype), "V": rng.normal(size=(7, 4)).astype(dtype),
            "centre": np.array([0, 3, 3, 5, 1]), "context": np.array([2, 1, 6, 0, 2]),
            "noise": np.array([[4, 5, 4], [6, 2, 5], [0, 4, 1], [3, 3, 6], [6, 4, 0]])}


def loss(U, V, centre, context, noise):
    u = U[centre]
    v = V[context]
    w = V[noise]
    s = np.sum(u * v, axis=1)
    q = np.einsum("nd,nkd->nk", u, w)
    good = ad.log_sigmoid(s)
    bad = ad.log_sigmoid(-q)
    loss = -(good.sum() + bad.sum()) / 5
    return loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def pair_by_pair(U, V, centre, context, noise):
    dU, dV = np.zeros_like(U), np.zeros_like(V)
    n = len(centre)
    for i in range(n):
        c, o = centre[i], context[i]
        u = U[c]
        d_s = (sigmoid(u @ V[o]) - 1) / n
        d_u = d_s * V[o]
        dV[o] += d_s * u
        for k in noise[i]:
            d_q = sigmoid(u @ V[k]) / n
            d_u += d_q * V[k]
            dV[k] += d_q * u
        dU[c] += d_u
    return {"U": dU, "V": dV}


def scattered(U, V, centre, context, noise):
    u, v, w = U[centre], V[context], V[noise]
    pos = sigmoid((u * v).sum(-1))
    neg = sigmoid((w @ u[:, :, None])[:, :, 0])
    g_pos = (pos - 1) / len(u)
    g_neg = neg / len(u)
    g_u = g_pos[:, None] * v + np.einsum("nk,nkd->nd", g_neg, w)
    g_v = g_pos[:, None] * u
    g_w = g_neg[:, :, None] * u[:, None, :]
    g_U = np.zeros_like(U)
    g_V = np.zeros_like(V)
    np.add.at(g_U, centre, g_u)
    np.add.at(g_V, context, g_v)
    np.add.at(g_V, noise, g_w)
    return {"U": g_U, "V": g_V}


def one_hot_products(U, V, centre, context, noise):
    eye = np.eye(len(U))
    C = eye[centre]
    O = np.concatenate([context[:, None], noise], axis=1)
    t = np.zeros(O.shape)
    t[:, 0] = 1
    a = np.einsum("nd,nkd->nk", C @ U, V[O])
    delta = (sigmoid(a) - t) / len(centre)
    M = np.einsum("nk,nkw->nw", delta, eye[O])
    return {"dU": C.T @ (M @ V), "dV": M.T @ (C @ U)}


RIGHT = (pair_by_pair, scattered, one_hot_products)

SLIPS = (
    Slip("centre's row overwritten", pair_by_pair, ("dU[c] += d_u", "dU[c] = d_u"),
         label=label("scatter overwritten-accumulation", "U u centre", "getitem")),
    Slip("noise's rows overwritten", pair_by_pair, ("dV[k] += d_q * u", "dV[k] = d_q * u"),
         label=label("scatter overwritten-accumulation", "V w noise v", "getitem")),
    Slip("context's row overwritten", pair_by_pair, ("dV[o] += d_s * u", "dV[o] = d_s * u"),
         label=label("scatter overwritten-accumulation", "V v w context", "getitem")),
    Slip("noise does not reach the centre", pair_by_pair, ("d_u += d_q * V[k]", ""),
         label=label("dropped-path", "u q w", "einsum getitem")),
    Slip("noise overwrites the centre's part", pair_by_pair, ("d_u += d_q * V[k]", "d_u = d_q * V[k]"),
         label=label("overwritten-accumulation dropped-path", "u q s", "einsum getitem")),
    Slip("noise with the sign of the context", pair_by_pair,
         ("d_q = sigmoid(u @ V[k]) / n", "d_q = -sigmoid(u @ V[k]) / n"),
         label=label("sign", "q bad", "log_sigmoid negative")),
    Slip("noise as if it were the context", pair_by_pair,
         ("d_q = sigmoid(u @ V[k]) / n", "d_q = (sigmoid(u @ V[k]) - 1) / n"),
         label=label("wrong-local-rule wrong-argument sign extra-term", "q bad", "log_sigmoid negative")),
    Slip("context's one forgotten", pair_by_pair,
         ("d_s = (sigmoid(u @ V[o]) - 1) / n", "d_s = sigmoid(u @ V[o]) / n"),
         label=label("wrong-local-rule wrong-argument sign dropped-path missing-term", "s good", "log_sigmoid")),
    Slip("one minus for the context", pair_by_pair,
         ("d_s = (sigmoid(u @ V[o]) - 1) / n", "d_s = (1 - sigmoid(u @ V[o])) / n"),
         label=label("sign", "s good loss", "log_sigmoid negative sum add")),
    Slip("mean over noise words too", pair_by_pair,
         ("d_q = sigmoid(u @ V[k]) / n", "d_q = sigmoid(u @ V[k]) / n / len(noise[i])"),
         label=label("scale", "q bad loss", "log_sigmoid negative sum add divide")),
    Slip("no mean for the context", pair_by_pair,
         ("d_s = (sigmoid(u @ V[o]) - 1) / n", "d_s = sigmoid(u @ V[o]) - 1"),
         label=label("scale", "s good loss", "log_sigmoid negative sum add divide")),
    Slip("context of the pair before", pair_by_pair,
         ("c, o = centre[i], context[i]", "c, o = centre[i], context[i - 1]"),
         label=label("scatter wrong-operand", "v context V s", "getitem")),
    Slip("word vectors of the wrong table", pair_by_pair, ("u = U[c]", "u = V[c]"),
         label=label("wrong-operand scatter wrong-argument", "u U V", "getitem")),
    Slip("centre goes by the context's own vector", pair_by_pair, ("d_u += d_q * V[k]", "d_u += d_q * V[o]"),
         label=label("wrong-operand stale-value", "u q w v", "einsum")),
    Slip("noise's gradient by itself", pair_by_pair, ("dV[k] += d_q * u", "dV[k] += d_q * V[k]"),
         label=label("wrong-operand", "w u q V", "einsum")),
    Slip("last pair forgotten", pair_by_pair, ("for i in range(n):", "for i in range(n - 1):"),
         label=label("dropped-path", "u v w s q U V good bad loss", "getitem sum log_sigmoid")),
    Slip("first noise word forgotten", pair_by_pair, ("for k in noise[i]:", "for k in noise[i][1:]:"),
         label=label("dropped-path", "w q bad u V", "getitem einsum sum log_sigmoid")),
    Slip("plus equals with an index", scattered, ("np.add.at(g_V, noise, g_w)", "g_V[noise] += g_w"),
         label=label("scatter overwritten-accumulation", "V w noise", "getitem")),
    Slip("rows of the centre set", scattered, ("np.add.at(g_U, centre, g_u)", "g_U[centre] = g_u"),
         label=label("scatter overwritten-accumulation", "U u centre", "getitem")),
    Slip("context's gradient at the centre's rows", scattered,
         ("np.add.at(g_V, context, g_v)", "np.add.at(g_V, centre, g_v)"),
         label=label("scatter wrong-operand", "V v context centre", "getitem")),
    Slip("centre's gradient lacks the noise", scattered,
         ('g_u = g_pos[:, None] * v + np.einsum("nk,nkd->nd", g_neg, w)', "g_u = g_pos[:, None] * v"),
         label=label("dropped-path", "u q w", "einsum getitem")),
    Slip("noise subtracted", scattered,
         ('g_u = g_pos[:, None] * v + np.einsum("nk,nkd->nd", g_neg, w)',
          'g_u = g_pos[:, None] * v - np.einsum("nk,nkd->nd", g_neg, w)'),
         label=label("sign", "u q w", "einsum negative getitem")),
    Slip("sigmoid' on top", scattered, ("g_pos = (pos - 1) / len(u)", "g_pos = (pos - 1) * pos * (1 - pos) / len(u)"),
         label=label("double-derivative", "s good", "log_sigmoid")),
    Slip("log not derived", scattered, ("g_neg = neg / len(u)", "g_neg = neg * (1 - neg) / len(u)"),
         label=label("missing-local-derivative double-derivative wrong-local-rule", "q bad", "log_sigmoid")),
    Slip("noise set, and the context's sign", scattered, ("np.add.at(g_V, noise, g_w)", "g_V[noise] = g_w"),
         ("g_pos = (pos - 1) / len(u)", "g_pos = (1 - pos) / len(u)"),
         label=label("two", "V w noise s good", "getitem log_sigmoid negative")),
    Slip("targets one everywhere", one_hot_products, ("t[:, 0] = 1", "t[:] = 1"),
         label=label("wrong-local-rule wrong-argument sign extra-term dropped-path", "q bad", "log_sigmoid negative")),
    Slip("target at the last word", one_hot_products, ("t[:, 0] = 1", "t[:, -1] = 1"),
         label=label("scatter wrong-operand two wrong-local-rule", "q bad s good noise context w v",
                     "log_sigmoid negative getitem")),
    Slip("tables exchanged", one_hot_products,
         ('return {"dU": C.T @ (M @ V), "dV": M.T @ (C @ U)}', 'return {"dU": M.T @ (C @ U), "dV": C.T @ (M @ V)}'),
         label=label("swapped", "U V u")),
    Slip("divided by all words", one_hot_products,
         ("delta = (sigmoid(a) - t) / len(centre)", "delta = (sigmoid(a) - t) / t.size"),
         label=label("scale", "s q good bad loss", "log_sigmoid negative sum add divide")),
)
