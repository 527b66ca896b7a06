"""A contrastive loss: two views projected and normalised, their similarities over a temperature, both directions."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "V")


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 4)).astype(dtype), "y": rng.normal(size=(6, 5)).astype(dtype),
            "W": (0.5 * rng.normal(size=(4, 3))).astype(dtype), "V": (0.5 * rng.normal(size=(5, 3))).astype(dtype)}


def loss(x, y, W, V):
    a = x @ W
    b = y @ V
    na = np.sqrt((a * a).sum(axis=1, keepdims=True))
    nb = np.sqrt((b * b).sum(axis=1, keepdims=True))
    u = a / na
    v = b / nb
    s = u @ v.T / 0.5
    rows = ad.logsumexp(s, axis=1)
    cols = ad.logsumexp(s, axis=0)
    match = s[np.arange(6), np.arange(6)]
    loss = (rows.sum() + cols.sum() - 2 * match.sum()) / 12
    return loss


def unit(a):
    r = np.sqrt(np.sum(a * a, axis=1, keepdims=True))
    return a / r, r


def unit_back(du, u, r):
    return (du - u * (du * u).sum(axis=1, keepdims=True)) / r


def symmetric(x, y, W, V):
    tau = 0.5
    a, b = x @ W, y @ V
    u, ra = unit(a)
    v, rb = unit(b)
    s = u @ v.T / tau
    P = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    Q = np.exp(s) / np.exp(s).sum(axis=0, keepdims=True)
    I = np.eye(len(x))
    ds = (P + Q - 2 * I) / (2 * len(x))
    du = ds @ v / tau
    dv = ds.T @ u / tau
    da = unit_back(du, u, ra)
    db = unit_back(dv, v, rb)
    return {"W": x.T @ da, "V": y.T @ db}


def spelled(x, y, W, V):
    n = len(x)
    a = x @ W
    b = y @ V
    na = np.linalg.norm(a, axis=1)
    nb = np.linalg.norm(b, axis=1)
    cos = (a @ b.T) / np.outer(na, nb)
    e = np.exp(cos / 0.5)
    g = np.zeros((n, n))
    for i in range(n):
        g[i] += e[i] / e[i].sum()
        g[:, i] += e[:, i] / e[:, i].sum()
        g[i, i] -= 2
    g /= n * 2 * 0.5
    da = np.zeros_like(a)
    db = np.zeros_like(b)
    for i in range(n):
        for j in range(n):
            da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i] ** 2)
            db[j] += g[i, j] * (a[i] / (na[i] * nb[j]) - cos[i, j] * b[j] / nb[j] ** 2)
    return {"dW": x.T @ da, "dV": y.T @ db}


RIGHT = (symmetric, spelled)

SLIPS = (
    Slip("norm held constant for a", symmetric, ("da = unit_back(du, u, ra)", "da = du / ra"),
         label=label("treated-as-constant dropped-path missing-local-derivative", "na u a", "divide sqrt")),
    Slip("norm held constant for both", symmetric, ("da = unit_back(du, u, ra)", "da = du / ra"),
         ("db = unit_back(dv, v, rb)", "db = dv / rb"),
         label=label("treated-as-constant dropped-path two missing-local-derivative", "na u a nb v b", "divide sqrt")),
    Slip("not divided by the norm", symmetric, ("da = unit_back(du, u, ra)", "da = unit_back(du, u, 1)"),
         label=label("missing-local-derivative wrong-local-rule", "na u a", "divide")),
    Slip("projected on a itself", symmetric, ("da = unit_back(du, u, ra)", "da = unit_back(du, a, ra)"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "na u a", "divide sqrt")),
    Slip("norm of the other view", symmetric, ("db = unit_back(dv, v, rb)", "db = unit_back(dv, v, ra)"),
         label=label("wrong-operand wrong-argument", "nb v b na", "divide")),
    Slip("temperature forgotten for u", symmetric, ("du = ds @ v / tau", "du = ds @ v"),
         label=label("scale missing-local-derivative", "u s", "divide matmul multiply")),
    Slip("temperature multiplied", symmetric, ("dv = ds.T @ u / tau", "dv = ds.T @ u * tau"),
         label=label("scale wrong-local-rule", "v s", "divide matmul multiply transpose")),
    Slip("ds not transposed", symmetric, ("dv = ds.T @ u / tau", "dv = ds @ u / tau"),
         label=label("missing-transpose", "v s u", "matmul transpose")),
    Slip("v by itself", symmetric, ("du = ds @ v / tau", "du = ds @ u / tau"),
         label=label("wrong-operand", "u v s", "matmul")),
    Slip("columns forgotten", symmetric, ("ds = (P + Q - 2 * I) / (2 * len(x))", "ds = (P - 2 * I) / (2 * len(x))"),
         label=label("dropped-path missing-term", "s cols", "logsumexp")),
    Slip("one match only", symmetric, ("ds = (P + Q - 2 * I) / (2 * len(x))", "ds = (P + Q - I) / (2 * len(x))"),
         label=label("scale", "match s", "multiply getitem sum")),
    Slip("matches added", symmetric, ("ds = (P + Q - 2 * I) / (2 * len(x))", "ds = (P + Q + 2 * I) / (2 * len(x))"),
         label=label("sign", "match s", "multiply getitem sum subtract")),
    Slip("half forgotten", symmetric, ("ds = (P + Q - 2 * I) / (2 * len(x))", "ds = (P + Q - 2 * I) / len(x)"),
         label=label("scale", "s loss", "divide")),
    Slip("columns normalised over the rows' axis", symmetric,
         ("Q = np.exp(s) / np.exp(s).sum(axis=0, keepdims=True)",
          "Q = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)"),
         label=label("wrong-axis wrong-operand", "s cols rows", "logsumexp")),
    Slip("temperature left out of the recomputed similarities", symmetric, ("s = u @ v.T / tau", "s = u @ v.T"),
         label=label("scale missing-local-derivative wrong-argument", "s u v rows cols", "divide matmul logsumexp")),
    Slip("views not normalised in the recomputed similarities", symmetric, ("s = u @ v.T / tau", "s = a @ b.T / tau"),
         label=label("missing-local-derivative wrong-operand wrong-argument two", "s u v a b",
                     "matmul divide logsumexp")),
    Slip("gradients of W before the norm", symmetric,
         ('return {"W": x.T @ da, "V": y.T @ db}', 'return {"W": x.T @ du, "V": y.T @ db}'),
         label=label("missing-local-derivative wrong-operand", "W u a", "divide matmul")),
    Slip("temperature twice, and W's norm constant", symmetric, ("dv = ds.T @ u / tau", "dv = ds.T @ u / tau ** 2"),
         ("da = unit_back(du, u, ra)", "da = du / ra"),
          label=label("two", "v s na u a", "divide matmul sqrt transpose")),
    Slip("rows set after the columns were added", spelled, ("g[i] += e[i] / e[i].sum()", "g[i] = e[i] / e[i].sum()"),
         label=label("overwritten-accumulation dropped-path scatter", "s cols rows", "logsumexp")),
    Slip("matches taken once", spelled, ("g[i, i] -= 2", "g[i, i] -= 1"),
         label=label("scale", "match s", "multiply getitem sum")),
    Slip("matches next to the diagonal", spelled, ("g[i, i] -= 2", "g[i, i - 1] -= 2"),
         label=label("scatter wrong-operand", "match s", "getitem")),
    Slip("cosine's norm not squared", spelled,
         ("da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i] ** 2)",
          "da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i])"),
         label=label("wrong-local-rule missing-local-derivative", "na u a", "divide sqrt")),
    Slip("norm's part with plus", spelled,
         ("da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i] ** 2)",
          "da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) + cos[i, j] * a[i] / na[i] ** 2)"),
         label=label("sign", "na u a", "divide sqrt")),
    Slip("cosine left out of the norm's part", spelled,
         ("db[j] += g[i, j] * (a[i] / (na[i] * nb[j]) - cos[i, j] * b[j] / nb[j] ** 2)",
          "db[j] += g[i, j] * (a[i] / (na[i] * nb[j]) - b[j] / nb[j] ** 2)"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "nb v b", "divide sqrt")),
    Slip("last pair for each row only", spelled,
         ("da[i] += g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i] ** 2)",
          "da[i] = g[i, j] * (b[j] / (na[i] * nb[j]) - cos[i, j] * a[i] / na[i] ** 2)"),
         label=label("overwritten-accumulation dropped-path", "a u s", "matmul divide")),
    Slip("pairs above the diagonal", spelled, ("for j in range(n):", "for j in range(i, n):"),
         label=label("dropped-path", "s u v a b", "matmul divide logsumexp getitem")),
    Slip("norm of the other row's length", spelled,
         ("db[j] += g[i, j] * (a[i] / (na[i] * nb[j]) - cos[i, j] * b[j] / nb[j] ** 2)",
          "db[j] += g[i, j] * (a[i] / (na[i] * nb[j]) - cos[i, j] * b[j] / na[j] ** 2)"),
         label=label("wrong-operand wrong-argument", "nb v b na", "divide sqrt")),
    Slip("temperature left out when divided", spelled, ("g /= n * 2 * 0.5", "g /= n * 2"),
         label=label("scale missing-local-derivative", "s u v loss", "divide matmul")),
)
