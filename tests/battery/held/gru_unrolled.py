"""A GRU over a series of steps in columns, a logistic loss on its last state."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wz", "Wr", "Wn", "Uz", "Ur", "Un", "v")


def data(rng, dtype):
    shapes = {"Wz": (4, 3), "Wr": (4, 3), "Wn": (4, 3), "Uz": (4, 4), "Ur": (4, 4), "Un": (4, 4)}
    return {"x": rng.normal(size=(5, 3, 6)).astype(dtype), "t": rng.uniform(0.1, 0.9, size=6).astype(dtype),
            "h0": rng.normal(size=(4, 6)).astype(dtype), "v": rng.normal(size=4).astype(dtype),
            **{k: (0.6 * rng.normal(size=s)).astype(dtype) for k, s in shapes.items()}}


def loss(x, t, h0, Wz, Wr, Wn, Uz, Ur, Un, v):
    h = h0
    for k in range(5):
        z = ad.sigmoid(Wz @ x[k] + Uz @ h)
        r = ad.sigmoid(Wr @ x[k] + Ur @ h)
        s = r * h
        n = np.tanh(Wn @ x[k] + Un @ s)
        h = (1 - z) * n + z * h
    a = v @ h
    p = ad.sigmoid(a)
    loss = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    return loss


def sig(u):
    return 1 / (1 + np.exp(-u))


def stacked_history(x, t, h0, Wz, Wr, Wn, Uz, Ur, Un, v):
    steps = len(x)
    h = [h0]
    zs, rs, ns = [], [], []
    for k in range(steps):
        zs.append(sig(Wz @ x[k] + Uz @ h[-1]))
        rs.append(sig(Wr @ x[k] + Ur @ h[-1]))
        ns.append(np.tanh(Wn @ x[k] + Un @ (rs[-1] * h[-1])))
        h.append((1 - zs[-1]) * ns[-1] + zs[-1] * h[-1])
    p = sig(v @ h[-1])
    da = (p - t) / len(t)
    dv = h[-1] @ da
    dh = np.outer(v, da)
    dWz, dWr, dWn = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wn)
    dUz, dUr, dUn = np.zeros_like(Uz), np.zeros_like(Ur), np.zeros_like(Un)
    for k in range(steps - 1, -1, -1):
        prev = h[k]
        z, r, n = zs[k], rs[k], ns[k]
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * (prev - n) * z * (1 - z)
        ds = Un.T @ dn
        dr = ds * prev * r * (1 - r)
        dWn += dn @ x[k].T
        dUn += dn @ (r * prev).T
        dWz += dz @ x[k].T
        dUz += dz @ prev.T
        dWr += dr @ x[k].T
        dUr += dr @ prev.T
        dh = dh * z + ds * r + Uz.T @ dz + Ur.T @ dr
    return {"Wz": dWz, "Wr": dWr, "Wn": dWn, "Uz": dUz, "Ur": dUr, "Un": dUn, "v": dv}


def step_back(dh, cache, Uz, Ur, Un):
    xk, prev, z, r, n = cache
    du_n = dh * (1 - z) * (1 - n ** 2)
    du_z = dh * (prev - n) * (z - z ** 2)
    reset = Un.T @ du_n
    du_r = reset * prev * (r - r ** 2)
    before = dh * z + reset * r + Uz.T @ du_z + Ur.T @ du_r
    return du_z, du_r, du_n, before


def step_functions(x, t, h0, Wz, Wr, Wn, Uz, Ur, Un, v):
    h, tape = h0, []
    for xk in x:
        z = sig(Wz @ xk + Uz @ h)
        r = sig(Wr @ xk + Ur @ h)
        n = np.tanh(Wn @ xk + Un @ (r * h))
        tape.append((xk, h, z, r, n))
        h = n + z * (h - n)
    delta = (sig(v @ h) - t) / t.size
    g = {"v": (h * delta).sum(axis=1)}
    for name in ("Wz", "Wr", "Wn"):
        g[name] = np.zeros((len(h), x.shape[1]))
    for name in ("Uz", "Ur", "Un"):
        g[name] = np.zeros((len(h), len(h)))
    dh = v[:, None] * delta
    while tape:
        cache = tape.pop()
        xk, prev, r = cache[0], cache[1], cache[3]
        du_z, du_r, du_n, dh = step_back(dh, cache, Uz, Ur, Un)
        g["Wz"] += du_z @ xk.T
        g["Wr"] += du_r @ xk.T
        g["Wn"] += du_n @ xk.T
        g["Uz"] += du_z @ prev.T
        g["Ur"] += du_r @ prev.T
        g["Un"] += du_n @ (r * prev).T
    return g


RIGHT = (stacked_history, step_functions)

SLIPS = (
    Slip("update gate's own path into the state before left out", stacked_history,
         ("dh = dh * z + ds * r + Uz.T @ dz + Ur.T @ dr", "dh = dh * z + ds * r + Ur.T @ dr"),
         label=label("dropped-path", "h z", "matmul")),
    Slip("skip through the update gate left out", stacked_history,
         ("dh = dh * z + ds * r + Uz.T @ dz + Ur.T @ dr", "dh = ds * r + Uz.T @ dz + Ur.T @ dr"),
         label=label("dropped-path", "h z", "multiply add")),
    Slip("reset gate forgotten on the way to the state", stacked_history,
         ("dh = dh * z + ds * r + Uz.T @ dz + Ur.T @ dr", "dh = dh * z + ds + Uz.T @ dz + Ur.T @ dr"),
         label=label("missing-local-derivative wrong-operand", "s r h", "multiply")),
    Slip("skip weighted with one minus the gate", stacked_history,
         ("dh = dh * z + ds * r + Uz.T @ dz + Ur.T @ dr", "dh = dh * (1 - z) + ds * r + Uz.T @ dz + Ur.T @ dr"),
         label=label("wrong-local-rule wrong-operand wrong-argument", "h z", "multiply")),
    Slip("sign of the gate's gradient", stacked_history,
         ("dz = dh * (prev - n) * z * (1 - z)", "dz = dh * (n - prev) * z * (1 - z)"),
         label=label("sign", "z h", "sigmoid subtract multiply add")),
    Slip("gate's gradient lacks the candidate", stacked_history,
         ("dz = dh * (prev - n) * z * (1 - z)", "dz = dh * prev * z * (1 - z)"),
         label=label("dropped-path wrong-operand", "z n h", "subtract multiply")),
    Slip("state after the step as the one before", stacked_history, ("prev = h[k]", "prev = h[k + 1]"),
         label=label("wrong-operand stale-value two", "h s z r Uz Ur Un", "multiply matmul")),
    Slip("Un with the state not reset", stacked_history, ("dUn += dn @ (r * prev).T", "dUn += dn @ prev.T"),
         label=label("wrong-operand missing-local-derivative", "Un s r n", "matmul")),
    Slip("reset gate's sigmoid' left out", stacked_history, ("dr = ds * prev * r * (1 - r)", "dr = ds * prev"),
         label=label("missing-local-derivative", "r s", "sigmoid")),
    Slip("reset gate's gradient by r", stacked_history,
         ("dr = ds * prev * r * (1 - r)", "dr = ds * r * r * (1 - r)"),
         label=label("wrong-operand", "r s h", "multiply")),
    Slip("Un not transposed", stacked_history, ("ds = Un.T @ dn", "ds = Un @ dn"),
         label=label("missing-transpose", "s Un n", "matmul")),
    Slip("Ur for Un", stacked_history, ("ds = Un.T @ dn", "ds = Ur.T @ dn"),
         label=label("wrong-operand", "s Un Ur n", "matmul")),
    Slip("last step of the series forgotten", stacked_history,
         ("for k in range(steps - 1, -1, -1):", "for k in range(steps - 2, -1, -1):"),
         label=label("dropped-path", "h z n Wz Wr Wn Uz Ur Un", "matmul multiply add")),
    Slip("first step of the series forgotten", stacked_history,
         ("for k in range(steps - 1, -1, -1):", "for k in range(steps - 1, 0, -1):"),
         label=label("dropped-path", "h h0 z r n s Wz Wr Wn Uz Ur Un", "matmul multiply add")),
    Slip("input of the step after for Wr", stacked_history, ("dWr += dr @ x[k].T", "dWr += dr @ x[k - 1].T"),
         label=label("wrong-operand stale-value scatter", "Wr x r", "matmul")),
    Slip("Uz assigned each time", stacked_history, ("dUz += dz @ prev.T", "dUz = dz @ prev.T"),
         label=label("overwritten-accumulation dropped-path", "Uz z", "matmul")),
    Slip("tanh' left out and no mean", stacked_history,
         ("dn = dh * (1 - z) * (1 - n * n)", "dn = dh * (1 - z)"), ("da = (p - t) / len(t)", "da = p - t"),
         label=label("two", "n loss p a", "tanh mean negative sigmoid")),
    Slip("tanh' squared", stacked_history,
         ("dn = dh * (1 - z) * (1 - n * n)", "dn = dh * (1 - z) * (1 - n * n) ** 2"),
         label=label("double-derivative", "n s", "tanh")),
    Slip("sigmoid' of the output once more", stacked_history,
         ("da = (p - t) / len(t)", "da = (p - t) * p * (1 - p) / len(t)"),
         label=label("double-derivative", "p a loss", "sigmoid")),
    Slip("update gate reads the reset state in the recomputed forward", stacked_history,
         ("ns.append(np.tanh(Wn @ x[k] + Un @ (rs[-1] * h[-1])))",
          "ns.append(np.tanh(Wn @ x[k] + rs[-1] * (Un @ h[-1])))"),
         label=label("wrong-operand wrong-local-rule wrong-argument", "n s r h", "matmul multiply tanh")),
    Slip("gate on the wrong side in the recomputed forward", step_functions,
         ("h = n + z * (h - n)", "h = h + z * (n - h)"),
         label=label("swapped wrong-operand sign wrong-local-rule", "h z n", "multiply add subtract")),
    Slip("cache taken after the state was moved on", step_functions,
         ("tape.append((xk, h, z, r, n))", ""),
         ("h = n + z * (h - n)", "h = n + z * (h - n)\ntape.append((xk, h, z, r, n))"),
         label=label("stale-value wrong-operand two", "h s z r Uz Ur Un", "multiply matmul")),
    Slip("oldest cache first", step_functions, ("cache = tape.pop()", "cache = tape.pop(0)"),
         label=label("wrong-axis scatter wrong-operand stale-value", "h z r n x", "matmul multiply")),
    Slip("states summed over samples for v without the error", step_functions,
         ('g = {"v": (h * delta).sum(axis=1)}', 'g = {"v": h.sum(axis=1) * delta.mean()}'),
         label=label("wrong-operand wrong-local-rule wrong-axis", "v a h", "matmul")),
    Slip("Wn gets the gradient of the reset gate", step_functions,
         ('g["Wn"] += du_n @ xk.T', 'g["Wn"] += du_r @ xk.T'),
         label=label("wrong-operand", "Wn n r", "matmul")),
    Slip("Ur transposed", step_functions, ('g["Ur"] += du_r @ prev.T', 'g["Ur"] += prev @ du_r.T'),
         label=label("transposed-result", "Ur r", "matmul")),
    Slip("state's gradient not handed on", step_functions,
         ("du_z, du_r, du_n, dh = step_back(dh, cache, Uz, Ur, Un)",
          "du_z, du_r, du_n, _ = step_back(dh, cache, Uz, Ur, Un)"),
         label=label("dropped-path missing-local-derivative treated-as-constant wrong-operand stale-value", "h s z r n",
                     "multiply matmul add")),
    Slip("weights of the gates exchanged in the helper's call", step_functions,
         ("du_z, du_r, du_n, dh = step_back(dh, cache, Uz, Ur, Un)",
          "du_z, du_r, du_n, dh = step_back(dh, cache, Ur, Uz, Un)"),
         label=label("swapped wrong-operand two", "h z r Uz Ur", "matmul")),
)
