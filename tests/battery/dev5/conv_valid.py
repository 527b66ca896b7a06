"""A valid 1-d convolution by slices, tanh, the maximum or the mean of each channel over time, and a logistic unit."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("F", "f", "u", "o")


def data(rng, dtype):
    leaves = {"signal": rng.normal(size=(7, 9)), "F": rng.normal(size=(4, 3)), "f": 0.3 * rng.normal(size=4),
              "u": rng.normal(size=8), "o": rng.normal(size=()), "t": np.where(rng.normal(size=7) > 0, 1.0, 0.0)}
    return {name: np.asarray(value).astype(dtype) for name, value in leaves.items()}


def loss(signal, t, F, f, u, o):
    cols = []
    for p in range(7):
        cols.append(signal[:, p:p + 3] @ F.T + f)
    conv = np.stack(cols, axis=1)
    act = np.tanh(conv)
    top = act.max(axis=1)
    avg = act.mean(axis=1)
    feat = np.concatenate([top, avg], axis=1)
    logit = feat @ u + o
    prob = ad.sigmoid(logit)
    loss = -(t * np.log(prob) + (1 - t) * np.log(1 - prob)).mean()
    return loss


def windows(signal, width):
    return np.stack([signal[:, p:p + width] for p in range(signal.shape[1] - width + 1)], axis=1)


def forwards(signal, F, f, u, o):
    act = np.tanh(windows(signal, F.shape[1]) @ F.T + f)
    feat = np.hstack([act.max(axis=1), act.mean(axis=1)])
    return act, feat, 1 / (1 + np.exp(-(feat @ u + o)))


def all_windows(signal, t, F, f, u, o):
    act, feat, prob = forwards(signal, F, f, u, o)
    m, places, channels = act.shape
    dlogit = (prob - t) / m
    du = feat.T @ dlogit
    do = dlogit.sum()
    dfeat = dlogit[:, None] * u[None, :]
    dtop = dfeat[:, :channels]
    davg = dfeat[:, channels:]
    dact = np.repeat(davg[:, None, :] / places, places, axis=1)
    best = act.argmax(axis=1)
    rows, chans = np.indices(best.shape)
    dact[rows, best, chans] += dtop
    dconv = dact * (1 - act ** 2)
    dF = np.einsum("mpc,mpk->ck", dconv, windows(signal, F.shape[1]))
    df = dconv.sum(axis=(0, 1))
    return {"F": dF, "f": df, "u": du, "o": do, "conv": dconv, "act": dact}


def four_loops(signal, t, F, f, u, o):
    act, feat, prob = forwards(signal, F, f, u, o)
    gF, gf = np.zeros_like(F), np.zeros_like(f)
    N, P, C = act.shape
    for n in range(N):
        err = (prob[n] - t[n]) / N
        for c in range(C):
            best = np.argmax(act[n, :, c])
            for p in range(P):
                g = err * u[C + c] / P
                if p == best:
                    g += err * u[c]
                g *= 1 - act[n, p, c] ** 2
                gf[c] += g
                for k in range(F.shape[1]):
                    gF[c, k] += g * signal[n, p + k]
    gu = np.zeros_like(u)
    for n in range(N):
        gu += (prob[n] - t[n]) * feat[n] / N
    go = np.mean(prob - t)
    return {"F": gF, "f": gf, "u": gu, "o": go}


def tap_by_tap(signal, t, F, f, u, o):
    act, feat, prob = forwards(signal, F, f, u, o)
    grad_prob = (prob - t) / (prob * (1 - prob)) / len(t)
    grad_logit = grad_prob * prob * (1 - prob)
    C, K = F.shape
    is_top = (act == act.max(axis=1, keepdims=True)).astype(F.dtype)
    weight = is_top * u[:C] + u[C:] / act.shape[1]
    grad_act = grad_logit[:, None, None] * weight
    grad_conv = grad_act * (1 - act * act)
    grad_F = np.empty_like(F)
    for k in range(K):
        piece = signal[:, k:k + act.shape[1]]
        grad_F[:, k] = np.tensordot(piece, grad_conv, axes=((0, 1), (0, 1)))
    return {"dF": grad_F, "df": np.einsum("npc->c", grad_conv), "du": grad_logit @ feat, "do": grad_logit.sum()}


RIGHT = (all_windows, four_loops, tap_by_tap)

SLIPS = (
    Slip("mean over time not divided by the number of places", all_windows,
         ("dact = np.repeat(davg[:, None, :] / places, places, axis=1)",
          "dact = np.repeat(davg[:, None, :], places, axis=1)"),
         label=label("scale missing-local-derivative", "avg act", "mean")),
    Slip("maximum's gradient put over the mean's", all_windows,
         ("dact[rows, best, chans] += dtop", "dact[rows, best, chans] = dtop"),
         label=label("overwritten-accumulation dropped-path scatter", "act top avg", "max mean")),
    Slip("maximum's path left out", all_windows, ("dact[rows, best, chans] += dtop", ""),
         label=label("dropped-path", "act top", "max concatenate")),
    Slip("position of the least activation taken", all_windows,
         ("best = act.argmax(axis=1)", "best = act.argmin(axis=1)"),
         label=label("wrong-argument scatter wrong-local-rule", "top act", "max")),
    Slip("halves of the features exchanged backwards", all_windows,
         ("dtop = dfeat[:, :channels]", "dtop = dfeat[:, channels:]"),
         ("davg = dfeat[:, channels:]", "davg = dfeat[:, :channels]"),
         label=label("swapped scatter wrong-operand", "top avg feat", "concatenate")),
    Slip("tanh' by one minus the activation", all_windows,
         ("dconv = dact * (1 - act ** 2)", "dconv = dact * (1 - act)"),
         label=label("wrong-local-rule wrong-argument", "act conv", "tanh")),
    Slip("bias f averaged over time", all_windows,
         ("df = dconv.sum(axis=(0, 1))", "df = dconv.sum(axis=0).mean(axis=0)"),
         label=label("scale", "f conv", "add")),
    Slip("filters flipped as in a true convolution", four_loops,
         ("gF[c, k] += g * signal[n, p + k]", "gF[c, k] += g * signal[n, p + F.shape[1] - 1 - k]"),
         label=label("wrong-axis transposed-result scatter wrong-operand", "F signal", "matmul transpose")),
    Slip("signal one place early", four_loops,
         ("gF[c, k] += g * signal[n, p + k]", "gF[c, k] += g * signal[n, p + k - 1]"),
         label=label("wrong-operand scatter stale-value", "F signal", "matmul")),
    Slip("last place of the window positions not visited", four_loops,
         ("for p in range(P):", "for p in range(P - 1):"),
         label=label("dropped-path", "conv act F f", "stack matmul tanh add")),
    Slip("filter bias overwritten in the loops", four_loops, ("gf[c] += g", "gf[c] = g"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "f conv", "add")),
    Slip("tanh' only where the maximum is", four_loops,
         ("g *= 1 - act[n, p, c] ** 2", ""), ("g += err * u[c]", "g += err * u[c]\ng *= 1 - act[n, p, c] ** 2"),
         label=label("missing-local-derivative wrong-local-rule", "act conv avg", "tanh")),
    Slip("mean features left out on the way back", four_loops,
         ("g = err * u[C + c] / P", "g = 0"),
         label=label("dropped-path", "avg act feat", "mean concatenate")),
    Slip("output weights' gradient with the targets the wrong way", four_loops,
         ("gu += (prob[n] - t[n]) * feat[n] / N", "gu += (t[n] - prob[n]) * feat[n] / N"),
         label=label("sign", "u logit feat", "matmul")),
    Slip("sigmoid not derived after the log loss", tap_by_tap,
         ("grad_logit = grad_prob * prob * (1 - prob)", "grad_logit = grad_prob"),
         label=label("missing-local-derivative", "logit prob", "sigmoid")),
    Slip("sigmoid derived although already in prob - t", tap_by_tap,
         ("grad_prob = (prob - t) / (prob * (1 - prob)) / len(t)", "grad_prob = (prob - t) / len(t)"),
         label=label("double-derivative missing-local-derivative", "prob logit loss", "sigmoid log")),
    Slip("maximum weighted as all places", tap_by_tap,
         ("weight = is_top * u[:C] + u[C:] / act.shape[1]", "weight = u[:C] + u[C:] / act.shape[1]"),
         label=label("wrong-local-rule scatter missing-local-derivative", "top act", "max")),
    Slip("tanh derived nowhere", tap_by_tap, ("grad_conv = grad_act * (1 - act * act)", "grad_conv = grad_act"),
         label=label("missing-local-derivative", "act conv", "tanh")),
    Slip("every tap with the same piece of the signal", tap_by_tap,
         ("piece = signal[:, k:k + act.shape[1]]", "piece = signal[:, :act.shape[1]]"),
         label=label("wrong-operand scatter", "F signal", "matmul")),
    Slip("sum over rows instead of mean, and filters' derivative with the activation for its square", tap_by_tap,
         ("grad_prob = (prob - t) / (prob * (1 - prob)) / len(t)", "grad_prob = (prob - t) / (prob * (1 - prob))"),
         ("grad_conv = grad_act * (1 - act * act)", "grad_conv = grad_act * (1 - act)"),
         label=label("two", "loss logit prob act conv", "mean negative log sigmoid tanh")),
)
