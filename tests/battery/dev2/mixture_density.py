"""A mixture of Gaussians whose weights, means and widths a linear layer gives: its negative log likelihood."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wp", "Wm", "Ws", "bs")


def data(rng, dtype):
    return {"x": rng.normal(size=(7, 4)).astype(dtype), "y": rng.normal(size=7).astype(dtype),
            "Wp": (0.5 * rng.normal(size=(4, 3))).astype(dtype), "Wm": rng.normal(size=(4, 3)).astype(dtype),
            "Ws": (0.3 * rng.normal(size=(4, 3))).astype(dtype), "bs": (0.3 * rng.normal(size=3)).astype(dtype)}


def loss(x, y, Wp, Wm, Ws, bs):
    l = x @ Wp
    mu = x @ Wm
    ls = x @ Ws + bs
    logpi = ad.log_softmax(l, axis=1)
    sigma = np.exp(ls)
    d = (y.reshape(7, 1) - mu) / sigma
    comp = logpi - 0.5 * d ** 2 - ls
    ll = ad.logsumexp(comp, axis=1)
    loss = -ll.mean()
    return loss


def responsibilities(x, y, Wp, Wm, Ws, bs):
    n = len(x)
    logits, mu, ls = x @ Wp, x @ Wm, x @ Ws + bs
    pi = np.exp(logits - logits.max(axis=1, keepdims=True))
    pi = pi / pi.sum(axis=1, keepdims=True)
    sigma = np.exp(ls)
    diff = y[:, None] - mu
    dens = pi * np.exp(-0.5 * (diff / sigma) ** 2) / sigma
    r = dens / dens.sum(axis=1, keepdims=True)
    dl = (pi - r) / n
    dmu = -r * diff / sigma ** 2 / n
    dls = r * (1 - (diff / sigma) ** 2) / n
    dWp = x.T @ dl
    dWm = x.T @ dmu
    dWs = x.T @ dls
    dbs = dls.sum(axis=0)
    return {"Wp": dWp, "Wm": dWm, "Ws": dWs, "bs": dbs}


def step_by_step(x, y, Wp, Wm, Ws, bs):
    l = x @ Wp
    mu = x @ Wm
    ls = x @ Ws + bs
    shifted = l - l.max(axis=1)[:, None]
    logpi = shifted - np.log(np.exp(shifted).sum(axis=1))[:, None]
    sigma = np.exp(ls)
    d = (y[:, None] - mu) / sigma
    comp = logpi - 0.5 * d * d - ls
    top = comp.max(axis=1, keepdims=True)
    w = np.exp(comp - top)
    w /= w.sum(axis=1, keepdims=True)
    dcomp = -w / len(y)
    dlogpi = dcomp
    dd = -d * dcomp
    dls = -dcomp.copy()
    dmu = -dd / sigma
    dsigma = -dd * d / sigma
    dls += dsigma * sigma
    dl = dlogpi - np.exp(logpi) * dlogpi.sum(axis=1, keepdims=True)
    return {"Wp": x.T @ dl, "Wm": x.T @ dmu, "Ws": x.T @ dls, "bs": dls.sum(0)}


def sample_loop(x, y, Wp, Wm, Ws, bs):
    g = {"Wp": 0 * Wp, "Wm": 0 * Wm, "Ws": 0 * Ws, "bs": 0 * bs}
    for i, row in enumerate(x):
        e = np.exp(row @ Wp)
        pi = e / e.sum()
        s = np.exp(row @ Ws + bs)
        z = (y[i] - row @ Wm) / s
        lik = pi * np.exp(-z ** 2 / 2) / s
        post = lik / lik.sum()
        g["Wp"] += np.outer(row, pi - post) / len(x)
        g["Wm"] -= np.outer(row, post * z / s) / len(x)
        back = post * (1 - z ** 2) / len(x)
        g["Ws"] += np.outer(row, back)
        g["bs"] += back
    return g


RIGHT = (responsibilities, step_by_step, sample_loop)

SLIPS = (
    Slip("prior for posterior", responsibilities,
         ("dmu = -r * diff / sigma ** 2 / n", "dmu = -pi * diff / sigma ** 2 / n"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "mu d comp ll", "logsumexp multiply")),
    Slip("square of sigma forgotten", responsibilities,
         ("dmu = -r * diff / sigma ** 2 / n", "dmu = -r * diff / sigma / n"),
         label=label("wrong-local-rule missing-local-derivative", "mu d sigma", "divide subtract")),
    Slip("sign of the mean's gradient", responsibilities,
         ("dmu = -r * diff / sigma ** 2 / n", "dmu = r * diff / sigma ** 2 / n"),
         label=label("sign", "mu d", "subtract divide")),
    Slip("log of sigma lacks its one", responsibilities,
         ("dls = r * (1 - (diff / sigma) ** 2) / n", "dls = -r * (diff / sigma) ** 2 / n"),
         label=label("dropped-path missing-term", "ls comp", "subtract")),
    Slip("half kept in the width's gradient", responsibilities,
         ("dls = r * (1 - (diff / sigma) ** 2) / n", "dls = r * (1 - 0.5 * (diff / sigma) ** 2) / n"),
         label=label("scale wrong-local-rule", "ls sigma d comp", "square multiply exp divide")),
    Slip("width's gradient with the sign of the likelihood", responsibilities,
         ("dls = r * (1 - (diff / sigma) ** 2) / n", "dls = r * ((diff / sigma) ** 2 - 1) / n"),
         label=label("sign", "ls comp sigma", "add matmul exp subtract")),
    Slip("gradient of sigma, not of its log", responsibilities,
         ("dls = r * (1 - (diff / sigma) ** 2) / n", "dls = r * (1 / sigma - diff ** 2 / sigma ** 3) / n"),
         label=label("missing-local-derivative double-derivative wrong-local-rule", "ls sigma", "exp")),
    Slip("posterior minus prior", responsibilities, ("dl = (pi - r) / n", "dl = (r - pi) / n"),
         label=label("sign", "l logpi", "log_softmax")),
    Slip("prior's gradient without the posterior", responsibilities, ("dl = (pi - r) / n", "dl = pi / n"),
         label=label("dropped-path missing-term softmax-diagonal wrong-local-rule", "l logpi", "log_softmax")),
    Slip("posterior not normalised", responsibilities, ("r = dens / dens.sum(axis=1, keepdims=True)", "r = dens"),
         label=label("missing-local-derivative softmax-diagonal wrong-local-rule wrong-operand", "comp ll",
                     "logsumexp")),
    Slip("posterior normalised over the samples", responsibilities,
         ("r = dens / dens.sum(axis=1, keepdims=True)", "r = dens / dens.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis", "comp ll", "logsumexp")),
    Slip("density without its width", responsibilities,
         ("dens = pi * np.exp(-0.5 * (diff / sigma) ** 2) / sigma", "dens = pi * np.exp(-0.5 * (diff / sigma) ** 2)"),
         label=label("missing-term dropped-path missing-local-derivative wrong-operand", "comp ls ll",
                     "subtract logsumexp")),
    Slip("density without the half", responsibilities,
         ("dens = pi * np.exp(-0.5 * (diff / sigma) ** 2) / sigma", "dens = pi * np.exp(-(diff / sigma) ** 2) / sigma"),
         label=label("scale wrong-local-rule wrong-operand", "comp d ll", "multiply square logsumexp")),
    Slip("density without the prior", responsibilities,
         ("dens = pi * np.exp(-0.5 * (diff / sigma) ** 2) / sigma",
          "dens = np.exp(-0.5 * (diff / sigma) ** 2) / sigma"),
         label=label("missing-term dropped-path wrong-operand missing-local-derivative", "comp logpi ll",
                     "subtract logsumexp")),
    Slip("width's bias is an average", responsibilities, ("dbs = dls.sum(axis=0)", "dbs = dls.mean(axis=0)"),
         label=label("scale", "bs ls", "add")),
    Slip("means and widths exchanged", responsibilities, ("dWm = x.T @ dmu", "dWm = x.T @ dls"),
         label=label("wrong-operand swapped", "Wm mu ls", "matmul")),
    Slip("means' and widths' gradients exchanged on return", responsibilities,
         ('return {"Wp": dWp, "Wm": dWm, "Ws": dWs, "bs": dbs}', 'return {"Wp": dWp, "Wm": dWs, "Ws": dWm, "bs": dbs}'),
         label=label("swapped", "Wm Ws")),
    Slip("mean not taken for the prior, sign of the means", responsibilities, ("dl = (pi - r) / n", "dl = pi - r"),
         ("dmu = -r * diff / sigma ** 2 / n", "dmu = r * diff / sigma ** 2 / n"),
         label=label("two", "l logpi mu d", "subtract divide log_softmax mean")),
    Slip("weights added up without minus", step_by_step, ("dcomp = -w / len(y)", "dcomp = w / len(y)"),
         label=label("sign", "comp ll loss", "negative logsumexp mean")),
    Slip("square's d taken twice", step_by_step, ("dd = -d * dcomp", "dd = -2 * d * dcomp"),
         label=label("scale", "d comp", "multiply square")),
    Slip("widths only through the normalisation", step_by_step, ("dls += dsigma * sigma", ""),
         label=label("dropped-path", "ls sigma", "exp divide")),
    Slip("widths only through the distance", step_by_step, ("dls += dsigma * sigma", "dls = dsigma * sigma"),
         label=label("overwritten-accumulation dropped-path", "ls comp", "exp subtract")),
    Slip("exp not derived", step_by_step, ("dls += dsigma * sigma", "dls += dsigma"),
         label=label("missing-local-derivative", "ls sigma", "exp")),
    Slip("sigma's quotient rule without the second division", step_by_step,
         ("dsigma = -dd * d / sigma", "dsigma = -dd * d"),
         label=label("wrong-local-rule missing-local-derivative", "sigma d", "divide")),
    Slip("sigma's quotient rule without its minus", step_by_step,
         ("dsigma = -dd * d / sigma", "dsigma = dd * d / sigma"),
         label=label("sign", "sigma d ls", "divide exp")),
    Slip("log softmax without the weights", step_by_step,
         ("dl = dlogpi - np.exp(logpi) * dlogpi.sum(axis=1, keepdims=True)",
          "dl = dlogpi - dlogpi.sum(axis=1, keepdims=True)"),
         label=label("softmax-diagonal wrong-local-rule missing-local-derivative", "l logpi", "log_softmax")),
    Slip("log softmax handed through", step_by_step,
         ("dl = dlogpi - np.exp(logpi) * dlogpi.sum(axis=1, keepdims=True)", "dl = dlogpi"),
         label=label("softmax-diagonal dropped-path missing-local-derivative treated-as-constant wrong-local-rule",
                     "l logpi", "log_softmax")),
    Slip("log softmax over the samples", step_by_step,
         ("dl = dlogpi - np.exp(logpi) * dlogpi.sum(axis=1, keepdims=True)",
          "dl = dlogpi - np.exp(logpi) * dlogpi.sum(axis=0)"),
         label=label("wrong-axis softmax-diagonal", "l logpi", "log_softmax")),
    Slip("means of the last sample", sample_loop,
         ('g["Wm"] -= np.outer(row, post * z / s) / len(x)', 'g["Wm"] = -np.outer(row, post * z / s) / len(x)'),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "Wm mu", "matmul")),
    Slip("widths' bias of the last sample", sample_loop, ('g["bs"] += back', 'g["bs"] = back'),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "bs ls", "add")),
    Slip("y of the sample before", sample_loop, ("z = (y[i] - row @ Wm) / s", "z = (y[i - 1] - row @ Wm) / s"),
         label=label("wrong-operand scatter", "d y", "subtract divide")),
    Slip("bias left out of the width", sample_loop, ("s = np.exp(row @ Ws + bs)", "s = np.exp(row @ Ws)"),
         label=label("missing-term dropped-path", "ls bs", "add")),
)
