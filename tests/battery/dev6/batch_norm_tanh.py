"""A small net with batch normalisation in training mode before its tanh; samples are columns."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("A", "gamma", "beta", "B", "d")
EPS = 0.05


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(5, 9)), "Y": rng.normal(size=(3, 9)),
              "A": 0.5 * rng.normal(size=(4, 5)), "gamma": 1 + 0.4 * rng.normal(size=(4, 1)),
              "beta": 0.5 * rng.normal(size=(4, 1)),
              "B": 0.6 * rng.normal(size=(3, 4)), "d": 0.4 * rng.normal(size=(3, 1))}
    return {name: value.astype(dtype) for name, value in leaves.items()}


def loss(X, Y, A, gamma, beta, B, d):
    u = A @ X
    mu = np.mean(u, axis=1, keepdims=True)
    cen = u - mu
    var = np.mean(cen ** 2, axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    xhat = cen / std
    v = gamma * xhat + beta
    s = np.tanh(v)
    P = B @ s + d
    E = P - Y
    loss = np.sum(E * E) / 9
    return loss


def stage_by_stage(X, Y, A, gamma, beta, B, d):
    m = X.shape[1]
    u = A @ X
    cen = u - u.mean(1, keepdims=True)
    var = (cen ** 2).mean(1, keepdims=True)
    std = np.sqrt(var + EPS)
    inv = 1 / std
    xhat = cen * inv
    v = gamma * xhat + beta
    s = np.tanh(v)
    E = B @ s + d - Y
    grad_P = 2 * E / m
    grad_B = grad_P @ s.T
    grad_d = grad_P.sum(axis=1, keepdims=True)
    grad_s = B.T @ grad_P
    grad_v = grad_s * (1 - s ** 2)
    grad_beta = grad_v.sum(axis=1, keepdims=True)
    grad_gamma = (grad_v * xhat).sum(axis=1, keepdims=True)
    grad_xhat = grad_v * gamma
    grad_inv = (grad_xhat * cen).sum(axis=1, keepdims=True)
    grad_cen = grad_xhat * inv
    grad_std = -grad_inv / std ** 2
    grad_var = grad_std * 0.5 / std
    grad_cen += 2 * cen * grad_var / m
    grad_mu = -grad_cen.sum(axis=1, keepdims=True)
    grad_u = grad_cen.copy()
    grad_u += grad_mu / m
    grad_A = grad_u @ X.T
    return {"A": grad_A, "gamma": grad_gamma, "beta": grad_beta, "B": grad_B, "d": grad_d}


def two_pass_kernel(X, Y, A, gamma, beta, B, d):
    D, m = X.shape
    H, O = A.shape[0], B.shape[0]
    u = np.zeros((H, m))
    for i in range(D):
        u += A[:, i:i + 1] * X[i]
    xh, act, rstd = np.zeros((H, m)), np.zeros((H, m)), np.zeros(H)
    for h in range(H):
        total = total_sq = 0.0
        for j in range(m):
            total += u[h, j]
            total_sq += u[h, j] * u[h, j]
        mean = total / m
        rstd[h] = 1 / np.sqrt(total_sq / m - mean * mean + EPS)
        xh[h] = (u[h] - mean) * rstd[h]
        act[h] = np.tanh(gamma[h, 0] * xh[h] + beta[h, 0])
    dB, dd = np.zeros_like(B), np.zeros_like(d)
    dact = np.zeros((H, m))
    for o in range(O):
        for j in range(m):
            err = d[o, 0] - Y[o, j]
            for h in range(H):
                err += B[o, h] * act[h, j]
            err *= 2.0 / m
            dd[o] += err
            for h in range(H):
                dB[o, h] += err * act[h, j]
                dact[h, j] += err * B[o, h]
    dA, dgamma, dbeta = np.zeros_like(A), np.zeros_like(gamma), np.zeros_like(beta)
    for h in range(H):
        sum_dy = sum_dy_xh = 0.0
        for j in range(m):
            dy = dact[h, j] * (1 - act[h, j] ** 2)
            dact[h, j] = dy
            sum_dy += dy
            sum_dy_xh += dy * xh[h, j]
        dgamma[h] = sum_dy_xh
        dbeta[h] = sum_dy
        k = gamma[h, 0] * rstd[h] / m
        for j in range(m):
            du = m * dact[h, j]
            du -= sum_dy
            du -= xh[h, j] * sum_dy_xh
            du *= k
            dA[h] += du * X[:, j]
    return {"A": dA, "gamma": dgamma, "beta": dbeta, "B": dB, "d": dd}


def fused_formula(X, Y, A, gamma, beta, B, d):
    m = X.shape[1]
    u = np.einsum("hi,im->hm", A, X)
    r = 1 / np.sqrt(u.var(axis=1) + EPS)
    n = np.einsum("hm,h->hm", u - u.mean(axis=1, keepdims=True), r)
    s = np.tanh(gamma * n + beta)
    delta = (B @ s + d - Y) * 2 / m
    q = np.einsum("oh,om->hm", B, delta)
    q -= q * s * s
    p = q * gamma
    mean_p = p.mean(axis=1, keepdims=True)
    mean_pn = np.einsum("hm,hm->h", p, n) / m
    p = p - mean_p - n * mean_pn[:, None]
    dA = np.einsum("h,hm,im->hi", r, p, X)
    return {"dA": dA, "dgamma": np.einsum("hm,hm->h", q, n)[:, None], "dbeta": q.sum(1)[:, None],
            "dB": np.einsum("om,hm->oh", delta, s), "dd": delta.sum(1)[:, None]}


def by_jacobian(X, Y, A, gamma, beta, B, d):
    def centred(t):
        return t - t.mean(axis=1, keepdims=True)

    m = X.shape[1]
    cen = centred(A @ X)
    ivar = 1 / ((cen ** 2).sum(1) / m + EPS)
    xhat = cen * np.sqrt(ivar)[:, None]
    s = np.tanh(gamma * xhat + beta)
    e = 2 * (B @ s + d - Y) / m
    dv = (1 - s ** 2) * (B.T @ e)
    grads = {"A": np.zeros_like(A), "gamma": np.zeros_like(gamma), "beta": np.zeros_like(beta)}
    for h in range(len(A)):
        grads["gamma"][h] += dv[h] @ xhat[h]
        grads["beta"][h] += dv[h].sum()
        J = np.eye(m)
        J -= 1 / m
        J -= np.outer(cen[h], cen[h]) * ivar[h] / m
        J *= np.sqrt(ivar[h])
        g = gamma[h] * dv[h]
        grads["A"][h] += X @ (J @ g)
    grads["B"] = e @ s.T
    grads["d"] = e.sum(1, keepdims=True)
    return grads


RIGHT = (stage_by_stage, two_pass_kernel, fused_formula, by_jacobian)

SLIPS = (
    Slip("variance's part overwrites the direct part of the centred values", stage_by_stage,
         ("grad_cen += 2 * cen * grad_var / m", "grad_cen = 2 * cen * grad_var / m"),
         label=label("overwritten-accumulation dropped-path", "cen xhat var", "divide square mean add")),
    Slip("mean's part of the gradient forgotten", stage_by_stage, ("grad_u += grad_mu / m", ""),
         label=label("dropped-path treated-as-constant", "u mu cen", "mean subtract")),
    Slip("mean's gradient added without the minus of the centring", stage_by_stage,
         ("grad_mu = -grad_cen.sum(axis=1, keepdims=True)", "grad_mu = grad_cen.sum(axis=1, keepdims=True)"),
         label=label("sign", "mu cen u", "subtract mean")),
    Slip("mean's gradient not divided by the batch", stage_by_stage, ("grad_u += grad_mu / m", "grad_u += grad_mu"),
         label=label("scale missing-local-derivative", "mu u cen", "mean subtract")),
    Slip("variance's mean forgotten on the way back", stage_by_stage,
         ("grad_cen += 2 * cen * grad_var / m", "grad_cen += 2 * cen * grad_var"),
         label=label("scale missing-local-derivative", "var cen std", "mean square sqrt")),
    Slip("half of the square root left out", stage_by_stage,
         ("grad_var = grad_std * 0.5 / std", "grad_var = grad_std / std"),
         label=label("scale wrong-local-rule", "std var cen", "sqrt divide mean square add")),
    Slip("one over the variance where one over the standard deviation belongs, at the root", stage_by_stage,
         ("grad_var = grad_std * 0.5 / std", "grad_var = grad_std * 0.5 / var"),
         label=label("wrong-argument wrong-local-rule", "std var cen", "sqrt divide mean square add")),
    Slip("reciprocal differentiated without its minus", stage_by_stage,
         ("grad_std = -grad_inv / std ** 2", "grad_std = grad_inv / std ** 2"),
         label=label("sign", "xhat std var cen", "divide sqrt mean square")),
    Slip("gamma's gradient with the values after the shift", stage_by_stage,
         ("grad_gamma = (grad_v * xhat).sum(axis=1, keepdims=True)",
          "grad_gamma = (grad_v * v).sum(axis=1, keepdims=True)"),
         label=label("wrong-operand", "gamma xhat v", "multiply")),
    Slip("gamma left out on the way back", stage_by_stage, ("grad_xhat = grad_v * gamma", "grad_xhat = grad_v"),
         label=label("missing-local-derivative", "xhat v gamma", "multiply")),
    Slip("mean's gradient with one over the variance", stage_by_stage,
         ("grad_mu = -grad_cen.sum(axis=1, keepdims=True)", "grad_mu = -(grad_xhat / var).sum(axis=1, keepdims=True)"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "mu cen xhat u std", "divide subtract mean")),
    Slip("tanh derivative squared of the preactivation", stage_by_stage,
         ("grad_v = grad_s * (1 - s ** 2)", "grad_v = grad_s * (1 - v ** 2)"),
         label=label("wrong-argument", "s v", "tanh")),
    Slip("accumulated before tanh's derivative", two_pass_kernel,
         ("sum_dy += dy", ""),
         ("dy = dact[h, j] * (1 - act[h, j] ** 2)", "sum_dy += dact[h, j]\ndy = dact[h, j] * (1 - act[h, j] ** 2)"),
         label=label("missing-local-derivative stale-value wrong-operand",
                     "beta v s mu cen u", "tanh add mean subtract")),
    Slip("tanh'd gradient not written back to the buffer", two_pass_kernel, ("dact[h, j] = dy", ""),
         label=label("missing-local-derivative stale-value", "s v xhat cen u", "tanh multiply divide subtract")),
    Slip("accumulators of the channel not reset", two_pass_kernel,
         ("sum_dy = sum_dy_xh = 0.0", "if h == 0:\n    sum_dy = sum_dy_xh = 0.0"),
         label=label("stale-value extra-term", "gamma beta v xhat u mu cen", "add multiply mean subtract divide")),
    Slip("gradient to the activations assigned instead of summed over outputs", two_pass_kernel,
         ("dact[h, j] += err * B[o, h]", "dact[h, j] = err * B[o, h]"),
         label=label("overwritten-accumulation dropped-path", "s P B", "matmul")),
    Slip("second sum without the normalised value in front", two_pass_kernel,
         ("du -= xh[h, j] * sum_dy_xh", "du -= sum_dy_xh"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule",
                     "var cen std xhat u", "square divide mean subtract")),
    Slip("gradient treats the batch statistics as constants", two_pass_kernel,
         ("du -= sum_dy", ""), ("du -= xh[h, j] * sum_dy_xh", ""),
         label=label("treated-as-constant dropped-path",
                     "mu var cen std xhat u", "mean subtract sqrt divide square")),
    Slip("second sum times the raw values instead of the normalised ones", two_pass_kernel,
         ("du -= xh[h, j] * sum_dy_xh", "du -= u[h, j] * sum_dy_xh"),
         label=label("wrong-operand wrong-argument", "var cen std xhat u", "square divide mean subtract")),
    Slip("scale of the channel above", two_pass_kernel,
         ("k = gamma[h, 0] * rstd[h] / m", "k = gamma[h - 1, 0] * rstd[h] / m"),
         label=label("wrong-operand scatter", "gamma xhat v u", "multiply")),
    Slip("m left out of the direct term", two_pass_kernel, ("du = m * dact[h, j]", "du = dact[h, j]"),
         label=label("scale", "cen xhat u", "divide subtract mean")),
    Slip("output weights' gradient keeps the last column", two_pass_kernel,
         ("dB[o, h] += err * act[h, j]", "dB[o, h] = err * act[h, j]"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "B P s", "matmul")),
    Slip("target added", two_pass_kernel, ("err = d[o, 0] - Y[o, j]", "err = d[o, 0] + Y[o, j]"),
         label=label("sign wrong-argument wrong-operand", "E P Y loss", "subtract multiply")),
    Slip("mean for the centring of the wrong axis", fused_formula,
         ("mean_p = p.mean(axis=1, keepdims=True)", "mean_p = p.mean(axis=0, keepdims=True)"),
         label=label("wrong-axis", "mu cen u xhat", "mean subtract")),
    Slip("mean product not divided by the batch", fused_formula,
         ('mean_pn = np.einsum("hm,hm->h", p, n) / m', 'mean_pn = np.einsum("hm,hm->h", p, n)'),
         label=label("scale missing-local-derivative", "var cen std xhat", "mean square sqrt divide")),
    Slip("projection on the normalised values added", fused_formula,
         ("p = p - mean_p - n * mean_pn[:, None]", "p = p - mean_p + n * mean_pn[:, None]"),
         label=label("sign", "var std cen xhat", "sqrt divide square mean")),
    Slip("divided by the variance and not by its root", fused_formula,
         ('dA = np.einsum("h,hm,im->hi", r, p, X)', 'dA = np.einsum("h,hm,im->hi", r * r, p, X)'),
         label=label("wrong-argument wrong-operand wrong-local-rule double-derivative",
                     "xhat cen std u var A", "divide sqrt matmul")),
    Slip("in-place tanh derivative with one factor s", fused_formula, ("q -= q * s * s", "q -= q * s"),
         label=label("wrong-local-rule", "s v", "tanh")),
    Slip("unbiased variance in the derivation", fused_formula,
         ("r = 1 / np.sqrt(u.var(axis=1) + EPS)", "r = 1 / np.sqrt(u.var(axis=1, ddof=1) + EPS)"),
         label=label("scale wrong-argument wrong-operand wrong-local-rule",
                     "var std xhat cen v s P E", "mean sqrt divide")),
    Slip("epsilon forgotten", by_jacobian,
         ("ivar = 1 / ((cen ** 2).sum(1) / m + EPS)", "ivar = 1 / ((cen ** 2).sum(1) / m)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "std var xhat cen v s P E", "add sqrt divide")),
    Slip("normalising only differentiated along itself, not along the mean", by_jacobian, ("J -= 1 / m", ""),
         label=label("dropped-path treated-as-constant", "mu cen u", "mean subtract")),
    Slip("inverse deviation of the variance left off the jacobian", by_jacobian, ("J *= np.sqrt(ivar[h])", ""),
         label=label("missing-local-derivative", "xhat cen std u", "divide")),
    Slip("outer product without its inverse variance, and no two of the square", by_jacobian,
         ("J -= np.outer(cen[h], cen[h]) * ivar[h] / m", "J -= np.outer(cen[h], cen[h]) / m"),
         ("e = 2 * (B @ s + d - Y) / m", "e = (B @ s + d - Y) / m"),
         label=label("two", "std var cen xhat loss E P", "divide sqrt mean square multiply sum")),
    Slip("shift's gradient multiplied by the scale", by_jacobian,
         ('grads["beta"][h] += dv[h].sum()', 'grads["beta"][h] += (gamma[h] * dv[h]).sum()'),
         label=label("wrong-operand wrong-local-rule", "beta v xhat gamma", "add multiply")),
    Slip("output bias's gradient as a mean over the samples", by_jacobian,
         ('grads["d"] = e.sum(1, keepdims=True)', 'grads["d"] = e.mean(1, keepdims=True)'),
         label=label("scale missing-broadcast-reduction", "d P", "add")),
)
