"""Poisson regression with the log link: counts with an exposure each, a ridge on the slopes, an intercept left free."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("theta", "alpha")
KAPPA = 0.4


def data(rng, dtype):
    return {"covariates": (0.5 * rng.normal(size=(9, 5))).astype(dtype),
            "exposure": rng.uniform(0.5, 3.0, size=9).astype(dtype),
            "counts": rng.integers(0, 6, size=9).astype(np.int64),
            "theta": rng.normal(size=5).astype(dtype), "alpha": np.array(0.3 * rng.normal(), dtype=dtype)}


def loss(covariates, exposure, counts, theta, alpha):
    lin = np.dot(covariates, theta) + alpha
    eta = lin + np.log(exposure)
    mu = np.exp(eta)
    terms = mu - counts * eta
    nll = np.sum(terms) / 9
    ridge = 0.5 * KAPPA * np.dot(theta, theta)
    objective = nll + ridge
    return objective


def score_equations(covariates, exposure, counts, theta, alpha):
    n = len(counts)
    mu = exposure * np.exp(covariates @ theta + alpha)
    residual = mu - counts
    dtheta = covariates.T @ residual / n + KAPPA * theta
    dalpha = residual.mean()
    return {"theta": dtheta, "alpha": dalpha}


def chain_rule_line_by_line(covariates, exposure, counts, theta, alpha):
    N, k = covariates.shape
    offset = np.log(exposure)
    lin = covariates.dot(theta) + alpha
    eta = lin + offset
    mu = np.exp(eta)
    nll = (mu - counts * np.log(mu)).sum() / N
    d_mu = (1 - counts / mu) / N
    dmu_deta = mu
    d_eta = d_mu * dmu_deta
    d_theta = np.zeros(k)
    for j in range(k):
        d_theta[j] = np.sum(d_eta * covariates[:, j])
    d_theta = d_theta + KAPPA * theta
    d_alpha = np.sum(d_eta)
    return {"dtheta": d_theta, "dalpha": d_alpha, "eta": d_eta, "loss": nll + KAPPA / 2 * np.sum(theta ** 2)}


def person_by_person(covariates, exposure, counts, theta, alpha):
    S_theta = np.zeros_like(theta)
    S_alpha = 0.0
    n = 0
    for x, e, y in zip(covariates, exposure, counts, strict=True):
        rate = np.exp(alpha + x @ theta)
        expected = e * rate
        S_theta += (y - expected) * x
        S_alpha += y - expected
        n += 1
    S_theta = S_theta / n
    S_alpha = S_alpha / n
    S_theta -= KAPPA * theta
    return {"theta": -S_theta, "alpha": -S_alpha}


def sufficient_statistics(covariates, exposure, counts, theta, alpha):
    n = covariates.shape[0]
    Xt = np.column_stack([np.ones(n), covariates])
    b = np.append(alpha, theta)
    w = np.exp(Xt @ b + np.log(exposure))
    t_obs = Xt.T @ counts
    t_exp = Xt.T @ w
    pen = KAPPA * b
    pen[0] = 0
    grad = (t_exp - t_obs) / n + pen
    return {"theta": grad[1:], "alpha": grad[0]}


RIGHT = (score_equations, chain_rule_line_by_line, person_by_person, sufficient_statistics)

SLIPS = (
    Slip("score of the likelihood given for the loss", score_equations,
         ("residual = mu - counts", "residual = counts - mu"),
         label=label("sign", "eta lin mu terms nll", "exp subtract multiply sum divide add")),
    Slip("mean without its exposure", score_equations,
         ("mu = exposure * np.exp(covariates @ theta + alpha)", "mu = np.exp(covariates @ theta + alpha)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "mu eta lin exposure", "exp add")),
    Slip("intercept left out of the linear predictor", score_equations,
         ("mu = exposure * np.exp(covariates @ theta + alpha)", "mu = exposure * np.exp(covariates @ theta)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "mu eta lin alpha", "exp add")),
    Slip("intercept's residuals summed without the mean", score_equations,
         ("dalpha = residual.mean()", "dalpha = residual.sum()"),
         label=label("scale", "alpha lin nll", "add sum divide")),
    Slip("ridge inside the division by n", score_equations,
         ("dtheta = covariates.T @ residual / n + KAPPA * theta",
          "dtheta = (covariates.T @ residual + KAPPA * theta) / n"),
         label=label("scale", "theta ridge objective", "matmul multiply divide add")),
    Slip("weights of the Newton step in the gradient", score_equations,
         ("dtheta = covariates.T @ residual / n + KAPPA * theta",
          "dtheta = covariates.T @ (mu * residual) / n + KAPPA * theta"),
         label=label("double-derivative wrong-operand wrong-local-rule", "theta lin eta mu covariates",
                     "matmul exp")),
    Slip("intercept shrunk like the slopes", score_equations,
         ("dalpha = residual.mean()", "dalpha = residual.mean() + KAPPA * alpha"),
         label=label("extra-term", "alpha ridge objective", "add matmul multiply")),
    Slip("residual on the scale of the predictor", score_equations,
         ("residual = mu - counts", "residual = np.log(mu) - counts"),
         label=label("wrong-argument wrong-local-rule wrong-operand", "mu eta", "exp")),
    Slip("exposure weights the residuals once more", score_equations,
         ("residual = mu - counts", "residual = exposure * (mu - counts)"),
         label=label("wrong-local-rule wrong-operand double-derivative", "eta lin mu terms exposure",
                     "exp add multiply")),
    Slip("derivative of the inverse link forgotten", chain_rule_line_by_line,
         ("d_eta = d_mu * dmu_deta", "d_eta = d_mu"),
         label=label("missing-local-derivative wrong-local-rule", "mu eta terms", "exp")),
    Slip("derivative of the link in place of its inverse", chain_rule_line_by_line,
         ("dmu_deta = mu", "dmu_deta = 1 / mu"),
         label=label("wrong-local-rule", "mu eta", "exp")),
    Slip("observed count not divided by the mean", chain_rule_line_by_line,
         ("d_mu = (1 - counts / mu) / N", "d_mu = (1 - counts) / N"),
         label=label("wrong-local-rule missing-local-derivative double-derivative", "mu eta terms counts",
                     "exp multiply subtract")),
    Slip("the one from the mean itself forgotten", chain_rule_line_by_line,
         ("d_mu = (1 - counts / mu) / N", "d_mu = -counts / mu / N"),
         label=label("dropped-path missing-term", "mu terms eta", "exp subtract")),
    Slip("exp taken of the predictor before the offset", chain_rule_line_by_line,
         ("dmu_deta = mu", "dmu_deta = np.exp(lin)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "mu eta lin", "exp add")),
    Slip("ridge keeps the square of the slopes", chain_rule_line_by_line,
         ("d_theta = d_theta + KAPPA * theta", "d_theta = d_theta + KAPPA * theta ** 2"),
         label=label("wrong-local-rule wrong-operand missing-local-derivative", "theta ridge",
                     "matmul multiply")),
    Slip("first covariate's slope skipped", chain_rule_line_by_line,
         ("for j in range(k):", "for j in range(1, k):"),
         label=label("dropped-path", "theta covariates lin", "matmul")),
    Slip("intercept given the residual of the last person", chain_rule_line_by_line,
         ("d_alpha = np.sum(d_eta)", "d_alpha = d_eta[-1]"),
         label=label("missing-broadcast-reduction dropped-path", "alpha lin", "add sum")),
    Slip("ridge added in the ascent direction", person_by_person,
         ("S_theta -= KAPPA * theta", "S_theta += KAPPA * theta"),
         label=label("sign", "theta ridge objective", "matmul multiply add")),
    Slip("slopes keep the last person", person_by_person,
         ("S_theta += (y - expected) * x", "S_theta = (y - expected) * x"),
         label=label("overwritten-accumulation dropped-path", "theta lin covariates", "matmul sum")),
    Slip("exposure divides the rate", person_by_person,
         ("expected = e * rate", "expected = rate / e"),
         label=label("wrong-argument wrong-local-rule wrong-operand", "mu eta exposure", "exp add")),
    Slip("count compared as a rate without exposure on the slopes", person_by_person,
         ("S_theta += (y - expected) * x", "S_theta += (y / e - rate) * x"),
         label=label("wrong-local-rule wrong-operand wrong-argument", "theta lin eta mu exposure",
                     "matmul exp add")),
    Slip("minus of the likelihood forgotten at the intercept", person_by_person,
         ('return {"theta": -S_theta, "alpha": -S_alpha}', 'return {"theta": -S_theta, "alpha": S_alpha}'),
         label=label("sign", "alpha lin", "add")),
    Slip("ridge forgotten and slopes not averaged", person_by_person,
         ("S_theta -= KAPPA * theta", ""),
         ("S_theta = S_theta / n", ""),
         label=label("two", "theta ridge objective nll lin", "matmul multiply add sum divide")),
    Slip("raw exposure as the offset", sufficient_statistics,
         ("w = np.exp(Xt @ b + np.log(exposure))", "w = np.exp(Xt @ b + exposure)"),
         label=label("wrong-argument wrong-operand wrong-local-rule missing-local-derivative", "mu eta exposure",
                     "exp add")),
    Slip("free coefficient taken from the wrong end", sufficient_statistics,
         ("pen[0] = 0", "pen[-1] = 0"),
         label=label("scatter two wrong-operand extra-term missing-term", "alpha theta ridge objective",
                     "matmul multiply add")),
    Slip("ridge without the half", sufficient_statistics,
         ("pen = KAPPA * b", "pen = 2 * KAPPA * b"),
         label=label("scale", "theta ridge objective", "matmul multiply add")),
    Slip("observed statistics not averaged", sufficient_statistics,
         ("grad = (t_exp - t_obs) / n + pen", "grad = t_exp / n - t_obs + pen"),
         label=label("scale", "terms counts eta nll", "multiply subtract sum divide")),
)
