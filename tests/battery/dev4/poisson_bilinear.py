"""Poisson regression with a log link: two sets of features, their interaction, an exposure, a ridge."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("w", "v", "M", "b")
RIDGE = 0.3


def data(rng, dtype):
    return {"x": rng.normal(size=(7, 4)).astype(dtype) / 2, "u": rng.normal(size=(7, 3)).astype(dtype) / 2,
            "w": rng.normal(size=4).astype(dtype), "v": rng.normal(size=3).astype(dtype),
            "M": rng.normal(size=(4, 3)).astype(dtype), "b": np.asarray(rng.normal(), dtype=dtype),
            "E": rng.uniform(0.5, 3, size=7).astype(dtype), "y": np.array([3, 0, 1, 5, 2, 0, 4])}


def loss(x, u, w, v, M, b, E, y):
    xM = x @ M
    inter = np.sum(xM * u, axis=1)
    eta = x @ w + u @ v + inter + b
    lam = E * np.exp(eta)
    loglik = y * np.log(lam) - lam
    nll = -np.mean(loglik)
    ridge = RIDGE / 2 * np.sum(M ** 2)
    loss = nll + ridge
    return loss


def residuals(x, u, w, v, M, b, E, y):
    n = len(y)
    mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)
    r = (mu - y) / n
    dM = x.T @ (r[:, None] * u)
    dM += RIDGE * M
    return {"w": x.T @ r, "v": u.T @ r, "M": dM, "b": r.sum()}


def link_by_link(x, u, w, v, M, b, E, y):
    n = x.shape[0]
    xM = x @ M
    inter = np.sum(xM * u, axis=1)
    eta = x @ w + u @ v + inter + b
    rate = np.exp(eta)
    lam = E * rate
    d_loglik = -np.ones(n) / n
    d_lam = d_loglik * (y / lam)
    d_lam = d_lam - d_loglik
    d_rate = d_lam * E
    d_eta = d_rate * rate
    d_w = np.dot(d_eta, x)
    d_v = np.dot(d_eta, u)
    d_b = np.sum(d_eta)
    d_inter = d_eta
    d_prod = d_inter[:, None] * np.ones((1, 3))
    d_xM = d_prod * u
    d_M = np.dot(x.T, d_xM)
    d_M_ridge = RIDGE * M
    d_M = d_M + d_M_ridge
    return {"w": d_w, "v": d_v, "M": d_M, "b": d_b, "eta": d_eta, "lam": d_lam}


def observation_by_observation(x, u, w, v, M, b, E, y):
    grad_w, grad_v, grad_M, grad_b = np.zeros(4), np.zeros(3), np.zeros((4, 3)), 0.0
    total = 0.0
    n = len(y)
    for xi, ui, Ei, yi in zip(x, u, E, y, strict=True):
        eta = xi @ w + ui @ v + xi @ M @ ui + b
        expected = Ei * np.exp(eta)
        total += expected - yi * (eta + np.log(Ei))
        score = yi - expected
        grad_w -= score * xi
        grad_v -= score * ui
        grad_M -= score * np.outer(xi, ui)
        grad_b -= score
    grad_w /= n
    grad_v /= n
    grad_M /= n
    grad_b /= n
    grad_M += RIDGE * M
    value = total / n + RIDGE / 2 * np.sum(M * M)
    return {"dw": grad_w, "dv": grad_v, "dM": grad_M, "db": grad_b, "loss": value}


def one_design_matrix(x, u, w, v, M, b, E, y):
    n, p = x.shape
    q = u.shape[1]
    products = np.einsum("ni,nj->nij", x, u)
    Z = np.column_stack([np.ones(n), x, u, products.reshape(n, p * q)])
    theta = np.concatenate([[b], w, v, M.reshape(p * q)])
    offset = np.log(E)
    fitted = np.exp(Z @ theta + offset)
    penalty = np.zeros(len(theta))
    penalty[1 + p + q:] = RIDGE
    g = Z.T @ (fitted - y)
    g = g / n
    g = g + penalty * theta
    g_b, g_w, g_v, g_M = np.split(g, [1, 1 + p, 1 + p + q])
    return {"b": g_b[0], "w": g_w, "v": g_v, "M": g_M.reshape(p, q)}


RIGHT = (residuals, link_by_link, observation_by_observation, one_design_matrix)

SLIPS = (
    Slip("rate without the exposure", residuals,
         ("mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)",
          "mu = np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)"),
         label=label("missing-local-derivative wrong-argument wrong-operand", "lam eta E", "multiply exp")),
    Slip("linear predictor without the interaction", residuals,
         ("mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)", "mu = E * np.exp(x @ w + u @ v + b)"),
         label=label("wrong-argument wrong-operand dropped-path", "eta inter lam", "add exp multiply")),
    Slip("intercept left out of the predictor", residuals,
         ("mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)",
          "mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1))"),
         label=label("scale wrong-argument wrong-operand dropped-path", "eta lam b", "add exp multiply subtract")),
    Slip("identity link: the predictor as the mean", residuals,
         ("mu = E * np.exp(x @ w + u @ v + ((x @ M) * u).sum(1) + b)",
          "mu = E * (x @ w + u @ v + ((x @ M) * u).sum(1) + b)"),
         label=label("missing-local-derivative wrong-local-rule wrong-argument wrong-operand",
                     "eta lam", "exp multiply")),
    Slip("rates rather than counts compared: exposure multiplies the residual", residuals,
         ("r = (mu - y) / n", "r = E * (mu - y) / n"),
         label=label("double-derivative wrong-operand wrong-local-rule", "lam eta loglik E", "multiply exp")),
    Slip("Pearson residuals", residuals, ("r = (mu - y) / n", "r = (mu - y) / np.sqrt(mu) / n"),
         label=label("wrong-local-rule wrong-operand double-derivative",
                     "lam eta loglik", "exp log subtract multiply")),
    Slip("residual multiplied by the mean once more, as for least squares", residuals,
         ("r = (mu - y) / n", "r = (mu - y) * mu / n"),
         label=label("double-derivative wrong-local-rule wrong-operand", "lam eta loglik", "exp log multiply")),
    Slip("ridge replaces the interaction's gradient", residuals, ("dM += RIDGE * M", "dM = RIDGE * M"),
         label=label("overwritten-accumulation dropped-path", "M xM inter ridge", "matmul square")),
    Slip("ridge divided by the number of observations", residuals, ("dM += RIDGE * M", "dM += RIDGE / n * M"),
         label=label("scale", "M ridge loss", "square multiply sum add")),
    Slip("ridge's derivative with the square", residuals, ("dM += RIDGE * M", "dM += RIDGE * M ** 2"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "M ridge", "square")),
    Slip("derivative of the log left as one over the predictor", link_by_link,
         ("d_lam = d_loglik * (y / lam)", "d_lam = d_loglik * (y / eta)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "lam loglik eta", "log")),
    Slip("minus of the rate in the likelihood lost", link_by_link,
         ("d_lam = d_lam - d_loglik", "d_lam = d_lam + d_loglik"),
         label=label("sign", "lam loglik", "subtract")),
    Slip("rate's own term in the likelihood forgotten", link_by_link, ("d_lam = d_lam - d_loglik", ""),
         label=label("dropped-path", "lam loglik", "subtract")),
    Slip("exponential not derived", link_by_link, ("d_eta = d_rate * rate", "d_eta = d_rate"),
         label=label("missing-local-derivative", "eta lam", "exp")),
    Slip("exponential derived with the exposure's already in it", link_by_link,
         ("d_eta = d_rate * rate", "d_eta = d_rate * lam"),
         label=label("double-derivative wrong-operand wrong-argument", "eta lam E", "exp multiply")),
    Slip("exposure forgotten on the way back", link_by_link, ("d_rate = d_lam * E", "d_rate = d_lam"),
         label=label("missing-local-derivative", "lam eta E", "multiply")),
    Slip("interaction's matrix gets the other factor of the product", link_by_link,
         ("d_xM = d_prod * u", "d_xM = d_prod * xM"),
         label=label("wrong-operand", "xM inter M u", "multiply")),
    Slip("interaction not multiplied by the second features", link_by_link, ("d_xM = d_prod * u", "d_xM = d_prod"),
         label=label("missing-local-derivative wrong-operand", "xM inter M", "multiply")),
    Slip("log instead of its derivative", link_by_link,
         ("d_lam = d_loglik * (y / lam)", "d_lam = d_loglik * (y * np.log(lam))"),
         label=label("wrong-local-rule missing-local-derivative", "lam loglik", "log")),
    Slip("score of the second features subtracted the wrong way round", observation_by_observation,
         ("grad_v -= score * ui", "grad_v += score * ui"),
         label=label("sign", "v eta", "matmul add")),
    Slip("gradient of the likelihood, not of its negative", observation_by_observation,
         ("score = yi - expected", "score = expected - yi"),
         label=label("sign", "eta lam loglik nll", "negative mean subtract exp log multiply")),
    Slip("interaction from the last observation only", observation_by_observation,
         ("grad_M -= score * np.outer(xi, ui)", "grad_M = -score * np.outer(xi, ui)"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path",
                     "M xM inter", "matmul multiply sum")),
    Slip("intercept not divided by n", observation_by_observation, ("grad_b /= n", ""),
         label=label("scale", "b eta", "add")),
    Slip("ridge subtracted like the scores", observation_by_observation,
         ("grad_M += RIDGE * M", "grad_M -= RIDGE * M"),
         label=label("sign", "M ridge loss", "square multiply sum add")),
    Slip("ridge's one half not cancelled", observation_by_observation,
         ("grad_M += RIDGE * M", "grad_M += RIDGE / 2 * M"),
         label=label("scale", "M ridge loss", "square multiply sum add")),
    Slip("exposure itself in the predictor where its log belongs", observation_by_observation,
         ("expected = Ei * np.exp(eta)", "expected = np.exp(eta + Ei)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "lam eta E", "multiply exp")),
    Slip("first features' weights with the effect of the interaction in them", observation_by_observation,
         ("grad_w -= score * xi", "grad_w -= score * (xi + M @ ui)"),
         label=label("extra-term wrong-operand", "w eta x", "matmul")),
    Slip("sum over the observations", one_design_matrix, ("g = g / n", ""),
         label=label("scale", "nll loglik lam eta", "mean negative subtract exp log multiply")),
    Slip("products in the order of the other features", one_design_matrix,
         ('products = np.einsum("ni,nj->nij", x, u)', 'products = np.einsum("ni,nj->nji", x, u)'),
         label=label("wrong-axis transposed-result missing-transpose wrong-operand wrong-argument two",
                     "M inter xM eta lam", "matmul multiply exp sum")),
    Slip("ridge on all but the intercept", one_design_matrix,
         ("penalty[1 + p + q:] = RIDGE", "penalty[1:] = RIDGE"),
         label=label("extra-term", "w v ridge loss eta", "add square matmul")),
    Slip("ridge forgotten and offset subtracted", one_design_matrix,
         ("g = g + penalty * theta", ""),
         ("fitted = np.exp(Z @ theta + offset)", "fitted = np.exp(Z @ theta - offset)"),
         label=label("two", "M ridge eta lam E", "square multiply exp add")),
    Slip("interaction's gradient unfolded column by column", one_design_matrix,
         ('return {"b": g_b[0], "w": g_w, "v": g_v, "M": g_M.reshape(p, q)}',
          'return {"b": g_b[0], "w": g_w, "v": g_v, "M": g_M.reshape(q, p).T}'),
         label=label("transposed-result wrong-axis scatter", "M xM", "matmul")),
    Slip("ridge divided with the likelihood", one_design_matrix,
         ("g = g / n", ""), ("g = g + penalty * theta", "g = (g + penalty * theta) / n"),
         label=label("scale", "M ridge loss", "square multiply sum add")),
)
