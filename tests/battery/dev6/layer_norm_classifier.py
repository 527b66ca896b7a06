"""A classifier with a layer norm before its tanh, samples in columns, classes in rows."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("V", "c", "gamma", "beta", "U", "d")
EPS = 0.05


def data(rng, dtype):
    return {"x": rng.normal(size=(5, 7)).astype(dtype), "V": (0.7 * rng.normal(size=(6, 5))).astype(dtype),
            "c": rng.normal(size=(6, 1)).astype(dtype), "gamma": (1 + 0.5 * rng.normal(size=(6, 1))).astype(dtype),
            "beta": (0.5 * rng.normal(size=(6, 1))).astype(dtype), "U": rng.normal(size=(3, 6)).astype(dtype),
            "d": rng.normal(size=(3, 1)).astype(dtype), "cls": np.array([2, 0, 1, 1, 2, 0, 2], dtype=np.int64)}


def loss(x, V, c, gamma, beta, U, d, cls):
    a = V @ x + c
    mean = np.mean(a, axis=0, keepdims=True)
    dev = a - mean
    var = np.mean(dev ** 2, axis=0, keepdims=True)
    sd = np.sqrt(var + EPS)
    xhat = dev / sd
    g = gamma * xhat + beta
    h = np.tanh(g)
    scores = U @ h + d
    logp = ad.log_softmax(scores, axis=0)
    picked = logp[cls, np.arange(7)]
    L = -np.mean(picked)
    return L


def softmax(s):
    e = np.exp(s - s.max(axis=0))
    return e / e.sum(axis=0)


def standardise(a):
    mean = a.mean(axis=0)
    sd = np.sqrt(a.var(axis=0) + EPS)
    return (a - mean) / sd, sd


def closed_form(x, V, c, gamma, beta, U, d, cls):
    n = x.shape[1]
    xhat, sd = standardise(V @ x + c)
    h = np.tanh(gamma * xhat + beta)
    P = softmax(U @ h + d)
    Y = np.zeros_like(P)
    Y[cls, np.arange(n)] = 1
    delta = (P - Y) / n
    dU = delta @ h.T
    dd = delta.sum(1, keepdims=True)
    dg = (1 - h * h) * (U.T @ delta)
    dgamma = (dg * xhat).sum(1, keepdims=True)
    dbeta = dg.sum(1, keepdims=True)
    dxhat = gamma * dg
    da = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / sd
    dV = da @ x.T
    dc = da.sum(1, keepdims=True)
    return {"V": dV, "c": dc, "gamma": dgamma, "beta": dbeta, "U": dU, "d": dd}


def every_stage(x, V, c, gamma, beta, U, d, cls):
    k, n = len(V), x.shape[1]
    a = V @ x + c
    mean = a.mean(axis=0, keepdims=True)
    dev = a - mean
    var = (dev ** 2).mean(axis=0, keepdims=True)
    sd = np.sqrt(var + EPS)
    xhat = dev / sd
    g = gamma * xhat + beta
    h = np.tanh(g)
    scores = U @ h + d
    prob = softmax(scores)

    grad_scores = prob.copy()
    grad_scores[cls, np.arange(n)] -= 1
    grad_scores /= n
    grad_U = np.einsum("cn,kn->ck", grad_scores, h)
    grad_d = np.sum(grad_scores, axis=1, keepdims=True)
    grad_h = np.einsum("ck,cn->kn", U, grad_scores)
    grad_g = grad_h * (1 - np.tanh(g) ** 2)
    grad_beta = np.sum(grad_g, axis=1, keepdims=True)
    grad_gamma = np.sum(grad_g * xhat, axis=1, keepdims=True)
    grad_xhat = grad_g * gamma
    grad_dev = grad_xhat / sd
    grad_sd = np.sum(-grad_xhat * dev / sd ** 2, axis=0, keepdims=True)
    grad_var = grad_sd / (2 * sd)
    grad_dev += grad_var * 2 * dev / k
    grad_a = grad_dev.copy()
    grad_mean = -np.sum(grad_dev, axis=0, keepdims=True)
    grad_a += grad_mean / k
    grad_V = np.einsum("kn,fn->kf", grad_a, x)
    grad_c = np.sum(grad_a, axis=1, keepdims=True)
    return {"dV": grad_V, "dc": grad_c, "dgamma": grad_gamma, "dbeta": grad_beta, "dU": grad_U, "dd": grad_d,
            "scores": grad_scores, "g": grad_g, "xhat": grad_xhat}


def jacobian_per_sample(x, V, c, gamma, beta, U, d, cls):
    k, n = V.shape[0], x.shape[1]
    out = {"V": 0 * V, "c": 0 * c, "gamma": 0 * gamma, "beta": 0 * beta, "U": 0 * U, "d": 0 * d}
    I = np.eye(k)
    for i in range(n):
        xi = x[:, i:i + 1]
        zi, si = standardise(V @ xi + c)
        hi = np.tanh(gamma * zi + beta)
        residual = softmax(U @ hi + d)
        residual[cls[i], 0] -= 1
        out["d"] += residual / n
        out["U"] += residual @ hi.T / n
        J_tanh = np.diag(1 - hi[:, 0] ** 2)
        delta = J_tanh @ U.T @ residual
        out["beta"] += delta / n
        out["gamma"] += delta * zi / n
        J_norm = (I - np.full((k, k), 1 / k) - zi @ zi.T / k) / si
        delta = J_norm @ np.diag(gamma[:, 0]) @ delta
        out["c"] += delta / n
        out["V"] += delta @ xi.T / n
    return out


def with_indices(x, V, c, gamma, beta, U, d, cls):
    K, F = V.shape
    C, N = U.shape[0], x.shape[1]
    dV, dc, dU, dd = np.zeros((K, F)), np.zeros((K, 1)), np.zeros((C, K)), np.zeros((C, 1))
    dgam, dbet = np.zeros((K, 1)), np.zeros((K, 1))
    for n in range(N):
        a = V @ x[:, n] + c[:, 0]
        m = sum(a) / K
        v = sum((a[j] - m) ** 2 for j in range(K)) / K
        r = 1 / np.sqrt(v + EPS)
        xh = (a - m) * r
        h = np.tanh(gamma[:, 0] * xh + beta[:, 0])
        p = softmax(U @ h + d[:, 0])
        q = np.zeros(K)
        for l in range(C):
            err = (p[l] - (l == cls[n])) / N
            dd[l] += err
            for j in range(K):
                dU[l, j] += err * h[j]
                q[j] += err * U[l, j]
        q = q * (1 - h ** 2)
        s0 = 0.0
        s1 = 0.0
        for j in range(K):
            dgam[j] += q[j] * xh[j]
            dbet[j] += q[j]
            s0 += q[j] * gamma[j, 0]
            s1 += q[j] * gamma[j, 0] * xh[j]
        for j in range(K):
            da = r * (q[j] * gamma[j, 0] - s0 / K - xh[j] * s1 / K)
            dc[j] += da
            for f in range(F):
                dV[j, f] += da * x[f, n]
    return {"V": dV, "c": dc, "gamma": dgam, "beta": dbet, "U": dU, "d": dd}


RIGHT = (closed_form, every_stage, jacobian_per_sample, with_indices)

SLIPS = (
    Slip("mean and variance held fixed", closed_form,
         ("da = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / sd", "da = dxhat / sd"),
         label=label("treated-as-constant dropped-path", "mean var sd dev a xhat", "mean subtract divide sqrt")),
    Slip("averages over the samples in the norm's derivative", closed_form,
         ("da = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / sd",
          "da = (dxhat - dxhat.mean(1, keepdims=True) - xhat * (dxhat * xhat).mean(1, keepdims=True)) / sd"),
         label=label("wrong-axis", "a mean var sd dev xhat", "mean divide subtract sqrt")),
    Slip("times the deviation's scale", closed_form,
         ("da = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / sd",
          "da = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) * sd"),
         label=label("wrong-local-rule wrong-operand", "xhat sd dev a", "divide")),
    Slip("gain not in the chain", closed_form,
         ("dxhat = gamma * dg", "dxhat = dg"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "xhat g gamma", "multiply")),
    Slip("gain's gradient with the shifted values", closed_form,
         ("dgamma = (dg * xhat).sum(1, keepdims=True)",
          "dgamma = (dg * (gamma * xhat + beta)).sum(1, keepdims=True)"),
         label=label("wrong-operand wrong-argument", "gamma xhat g", "multiply")),
    Slip("shift's gradient averaged over samples", closed_form,
         ("dbeta = dg.sum(1, keepdims=True)", "dbeta = dg.mean(1, keepdims=True)"),
         label=label("scale", "beta g", "add")),
    Slip("targets not subtracted", closed_form,
         ("delta = (P - Y) / n", "delta = P / n"),
         label=label("dropped-path missing-term wrong-local-rule", "scores logp picked L", "log_softmax getitem")),
    Slip("residual divided by the number of classes", closed_form,
         ("delta = (P - Y) / n", "delta = (P - Y) / len(P)"),
         label=label("scale", "scores logp picked L", "mean log_softmax getitem negative")),
    Slip("tanh prime at the normalised values", closed_form,
         ("dg = (1 - h * h) * (U.T @ delta)", "dg = (1 - np.tanh(xhat) ** 2) * (U.T @ delta)"),
         label=label("wrong-argument", "h g xhat", "tanh")),
    Slip("softmax over the samples", every_stage,
         ("prob = softmax(scores)", "prob = softmax(scores.T).T"),
         label=label("wrong-axis", "scores logp", "log_softmax")),
    Slip("one taken off a fixed class", every_stage,
         ("grad_scores[cls, np.arange(n)] -= 1", "grad_scores[cls[0], np.arange(n)] -= 1"),
         label=label("scatter wrong-operand", "picked logp scores cls", "getitem log_softmax")),
    Slip("standard deviation forgotten in the direct path", every_stage,
         ("grad_dev = grad_xhat / sd", "grad_dev = grad_xhat.copy()"),
         label=label("missing-local-derivative wrong-local-rule", "dev xhat sd", "divide")),
    Slip("no square in the derivative of one over sd", every_stage,
         ("grad_sd = np.sum(-grad_xhat * dev / sd ** 2, axis=0, keepdims=True)",
          "grad_sd = np.sum(-grad_xhat * dev / sd, axis=0, keepdims=True)"),
         label=label("wrong-local-rule", "sd xhat dev", "divide")),
    Slip("derivative of the root without its half", every_stage,
         ("grad_var = grad_sd / (2 * sd)", "grad_var = grad_sd / sd"),
         label=label("scale wrong-local-rule", "var sd dev", "sqrt mean divide")),
    Slip("variance's path replaces the direct one", every_stage,
         ("grad_dev += grad_var * 2 * dev / k", "grad_dev = grad_var * 2 * dev / k"),
         label=label("overwritten-accumulation dropped-path", "dev xhat", "divide square")),
    Slip("variance divided by the samples", every_stage,
         ("grad_dev += grad_var * 2 * dev / k", "grad_dev += grad_var * 2 * dev / n"),
         label=label("scale", "var dev sd", "mean square sqrt")),
    Slip("deviations' gradient passed as that of the raw values", every_stage,
         ("grad_a += grad_mean / k", ""),
         label=label("dropped-path treated-as-constant", "mean a dev", "subtract mean")),
    Slip("plus before the mean", every_stage,
         ("grad_mean = -np.sum(grad_dev, axis=0, keepdims=True)",
          "grad_mean = np.sum(grad_dev, axis=0, keepdims=True)"),
         label=label("sign", "mean a dev", "subtract mean")),
    Slip("gain and tanh's derivative both forgotten", every_stage,
         ("grad_xhat = grad_g * gamma", "grad_xhat = grad_g"),
         ("grad_g = grad_h * (1 - np.tanh(g) ** 2)", "grad_g = grad_h"),
         label=label("two", "xhat g gamma h", "multiply tanh")),
    Slip("ones matrix not divided in the norm's Jacobian", jacobian_per_sample,
         ("J_norm = (I - np.full((k, k), 1 / k) - zi @ zi.T / k) / si",
          "J_norm = (I - np.ones((k, k)) - zi @ zi.T / k) / si"),
         label=label("scale wrong-local-rule", "mean a dev", "mean subtract")),
    Slip("outer product added in the norm's Jacobian", jacobian_per_sample,
         ("J_norm = (I - np.full((k, k), 1 / k) - zi @ zi.T / k) / si",
          "J_norm = (I - np.full((k, k), 1 / k) + zi @ zi.T / k) / si"),
         label=label("sign", "var sd dev xhat a", "divide sqrt square mean")),
    Slip("gain applied after the norm's Jacobian", jacobian_per_sample,
         ("delta = J_norm @ np.diag(gamma[:, 0]) @ delta", "delta = np.diag(gamma[:, 0]) @ J_norm @ delta"),
         label=label("wrong-local-rule wrong-operand missing-transpose", "a xhat gamma g dev sd", "multiply divide")),
    Slip("gain's gradient of the latest sample", jacobian_per_sample,
         ('out["gamma"] += delta * zi / n', 'out["gamma"] = delta * zi / n'),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "gamma g xhat", "multiply")),
    Slip("Jacobian of the tanh without one minus", jacobian_per_sample,
         ("J_tanh = np.diag(1 - hi[:, 0] ** 2)", "J_tanh = np.diag(hi[:, 0] ** 2)"),
         label=label("wrong-local-rule", "h g", "tanh")),
    Slip("gain once more on the way to the first bias", jacobian_per_sample,
         ('out["c"] += delta / n', 'out["c"] += delta * gamma / n'),
         label=label("double-derivative wrong-local-rule wrong-operand", "c a gamma", "add multiply")),
    Slip("observed minus fitted in the residual", with_indices,
         ("err = (p[l] - (l == cls[n])) / N", "err = ((l == cls[n]) - p[l]) / N"),
         label=label("sign", "scores logp picked L", "log_softmax negative mean getitem")),
    Slip("shift's gradient scaled by the gain", with_indices,
         ("dbet[j] += q[j]", "dbet[j] += q[j] * gamma[j, 0]"),
         label=label("wrong-operand wrong-local-rule double-derivative", "beta g gamma xhat", "add multiply")),
    Slip("second sum forgets the gain", with_indices,
         ("s1 += q[j] * gamma[j, 0] * xh[j]", "s1 += q[j] * xh[j]"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "var sd xhat gamma g",
                     "multiply divide")),
    Slip("second sum not multiplied by the normalised value", with_indices,
         ("da = r * (q[j] * gamma[j, 0] - s0 / K - xh[j] * s1 / K)", "da = r * (q[j] * gamma[j, 0] - s0 / K - s1 / K)"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "var sd dev xhat a",
                     "square divide sqrt mean")),
    Slip("only the last class reaches the hidden units", with_indices,
         ("q[j] += err * U[l, j]", "q[j] = err * U[l, j]"),
         label=label("overwritten-accumulation dropped-path", "h scores U", "matmul")),
)
