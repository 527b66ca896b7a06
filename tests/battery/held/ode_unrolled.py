"""A small net as the right-hand side of an equation, integrated by the midpoint rule, fitted at every other step."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "s0")


def data(rng, dtype):
    return {"s0": rng.normal(size=(5, 2)).astype(dtype), "goal": rng.normal(size=(3, 5, 2)).astype(dtype),
            "W1": rng.normal(size=(2, 4)).astype(dtype), "b1": rng.normal(size=4).astype(dtype),
            "W2": rng.normal(size=(4, 2)).astype(dtype)}


def loss(s0, goal, W1, b1, W2):
    dt = 0.4
    s = s0
    total = 0.0
    for k in range(6):
        p = np.tanh(s @ W1 + b1)
        mid = s + 0.5 * dt * (p @ W2)
        q = np.tanh(mid @ W1 + b1)
        s = s + dt * (q @ W2)
        if k % 2:
            e = s - goal[k // 2]
            total = total + (e * e).mean()
    loss = total / 3
    return loss


def adjoint(s0, goal, W1, b1, W2):
    dt, steps = 0.4, 6
    s, path = s0, []
    residuals = {}
    for k in range(steps):
        p = np.tanh(s @ W1 + b1)
        mid = s + 0.5 * dt * p @ W2
        q = np.tanh(mid @ W1 + b1)
        path.append({"s": s, "p": p, "mid": mid, "q": q})
        s = s + dt * q @ W2
        if k % 2 == 1:
            residuals[k] = s - goal[k // 2]
    dW1, db1, dW2 = np.zeros_like(W1), np.zeros_like(b1), np.zeros_like(W2)
    ds = np.zeros_like(s0)
    for k in range(steps - 1, -1, -1):
        at = path[k]
        if k in residuals:
            ds = ds + 2 * residuals[k] / s0.size / 3
        dq = dt * ds @ W2.T
        dW2 += dt * at["q"].T @ ds
        dv = dq * (1 - at["q"] ** 2)
        dW1 += at["mid"].T @ dv
        db1 += dv.sum(axis=0)
        dmid = dv @ W1.T
        dp = 0.5 * dt * dmid @ W2.T
        dW2 += 0.5 * dt * at["p"].T @ dmid
        du = dp * (1 - at["p"] ** 2)
        dW1 += at["s"].T @ du
        db1 += du.sum(axis=0)
        ds = ds + dmid + du @ W1.T
    return {"W1": dW1, "b1": db1, "W2": dW2, "s0": ds}


def vjp_of_field(s, g, W1, b1, W2):
    a = np.tanh(s @ W1 + b1)
    u = g @ W2.T * (1 - a * a)
    return u @ W1.T, s.T @ u, u.sum(0), a.T @ g


def with_a_helper(s0, goal, W1, b1, W2):
    h, T = 0.4, 6
    S = np.zeros((T + 1, *s0.shape))
    M = np.zeros((T, *s0.shape))
    S[0] = s0
    for t in range(T):
        M[t] = S[t] + h / 2 * np.tanh(S[t] @ W1 + b1) @ W2
        S[t + 1] = S[t] + h * np.tanh(M[t] @ W1 + b1) @ W2
    gW1, gb1, gW2 = 0 * W1, 0 * b1, 0 * W2
    g = np.zeros_like(s0)
    for t in range(T)[::-1]:
        if (t + 1) % 2 == 0:
            g = g + (S[t + 1] - goal[t // 2]) * 2 / (3 * s0.size)
        gm, A, b, C = vjp_of_field(M[t], h * g, W1, b1, W2)
        gW1 += A
        gb1 += b
        gW2 += C
        gs, A, b, C = vjp_of_field(S[t], h / 2 * gm, W1, b1, W2)
        gW1 += A
        gb1 += b * 1
        gW2 += 1 * C
        g = g + gm + gs
    return {"W1": gW1, "b1": gb1, "W2": gW2, "s0": g}


RIGHT = (adjoint, with_a_helper)

SLIPS = (
    Slip("state's own path left out", adjoint, ("ds = ds + dmid + du @ W1.T", "ds = dmid + du @ W1.T"),
         label=label("dropped-path overwritten-accumulation treated-as-constant", "s", "add")),
    Slip("midpoint's path to the state left out", adjoint, ("ds = ds + dmid + du @ W1.T", "ds = ds + du @ W1.T"),
         label=label("dropped-path", "s mid", "add")),
    Slip("slope's path to the state left out", adjoint, ("ds = ds + dmid + du @ W1.T", "ds = ds + dmid"),
         label=label("dropped-path treated-as-constant", "s p", "matmul")),
    Slip("W1 not transposed", adjoint, ("ds = ds + dmid + du @ W1.T", "ds = ds + dmid + du[:, :2] @ W1[:, :2]"),
         label=label("missing-transpose wrong-operand scatter dropped-path two", "s p W1", "matmul")),
    Slip("half a step for a whole one", adjoint, ("dq = dt * ds @ W2.T", "dq = 0.5 * dt * ds @ W2.T"),
         label=label("scale", "q s mid", "multiply matmul tanh")),
    Slip("step left out at the midpoint", adjoint, ("dp = 0.5 * dt * dmid @ W2.T", "dp = 0.5 * dmid @ W2.T"),
         label=label("scale missing-local-derivative", "p mid", "multiply matmul tanh")),
    Slip("step left out of W2's first part", adjoint, ('dW2 += dt * at["q"].T @ ds', 'dW2 += at["q"].T @ ds'),
         label=label("scale missing-local-derivative", "W2 q s", "matmul multiply")),
    Slip("slopes exchanged in W2", adjoint, ('dW2 += dt * at["q"].T @ ds', 'dW2 += dt * at["p"].T @ ds'),
         label=label("wrong-operand stale-value", "W2 q p s", "matmul")),
    Slip("W1 with the state for the midpoint", adjoint, ('dW1 += at["mid"].T @ dv', 'dW1 += at["s"].T @ dv'),
         label=label("wrong-operand stale-value", "W1 mid s q", "matmul")),
    Slip("W2 lacks the first half of the step", adjoint, ('dW2 += 0.5 * dt * at["p"].T @ dmid', ""),
         label=label("dropped-path", "W2 p mid", "matmul")),
    Slip("tanh' of the wrong slope", adjoint, ('du = dp * (1 - at["p"] ** 2)', 'du = dp * (1 - at["q"] ** 2)'),
         label=label("wrong-argument wrong-operand stale-value", "p q", "tanh")),
    Slip("tanh' at the midpoint itself left out", adjoint, ('dv = dq * (1 - at["q"] ** 2)', "dv = dq"),
         label=label("missing-local-derivative", "q mid", "tanh")),
    Slip("fit of the last step only", adjoint, ("if k in residuals:", "if k == steps - 1:"),
         label=label("dropped-path", "e s total loss", "add mean multiply subtract")),
    Slip("fit replaces what came back", adjoint,
         ("ds = ds + 2 * residuals[k] / s0.size / 3", "ds = 2 * residuals[k] / s0.size / 3"),
         label=label("dropped-path overwritten-accumulation", "s e", "add subtract")),
    Slip("not a mean over the fits", adjoint,
         ("ds = ds + 2 * residuals[k] / s0.size / 3", "ds = ds + 2 * residuals[k] / s0.size"),
         label=label("scale missing-local-derivative", "e s total loss", "divide mean multiply subtract add")),
    Slip("mean over the samples only", adjoint,
         ("ds = ds + 2 * residuals[k] / s0.size / 3", "ds = ds + 2 * residuals[k] / len(s0) / 3"),
         label=label("scale", "e s total loss", "divide mean multiply subtract add")),
    Slip("goal of the wrong step", adjoint, ("residuals[k] = s - goal[k // 2]", "residuals[k] = s - goal[k // 2 - 1]"),
         label=label("wrong-operand scatter", "e goal s", "subtract")),
    Slip("adjoint stops before the first step", adjoint,
         ("for k in range(steps - 1, -1, -1):", "for k in range(steps - 1, 0, -1):"),
         label=label("dropped-path", "s s0 p mid q W1 b1 W2", "add matmul tanh multiply")),
    Slip("cache taken after the state was moved on", adjoint,
         ('path.append({"s": s, "p": p, "mid": mid, "q": q})', ""),
         ("s = s + dt * q @ W2", 's = s + dt * q @ W2\npath.append({"s": s, "p": p, "mid": mid, "q": q})'),
         label=label("stale-value wrong-operand", "s p W1", "matmul")),
    Slip("explicit Euler in the recomputed forward", adjoint,
         ("mid = s + 0.5 * dt * p @ W2", "mid = s + 0 * p @ W2"),
         label=label("dropped-path missing-term wrong-operand", "mid s p q", "add multiply matmul")),
    Slip("b1 once for each step", with_a_helper, ("gb1 += b * 1", ""),
         label=label("dropped-path", "b1 p", "add")),
    Slip("helper called with the midpoint twice", with_a_helper,
         ("gs, A, b, C = vjp_of_field(S[t], h / 2 * gm, W1, b1, W2)",
          "gs, A, b, C = vjp_of_field(M[t], h / 2 * gm, W1, b1, W2)"),
         label=label("wrong-operand wrong-argument stale-value", "s p mid", "matmul tanh")),
    Slip("helper called with the next state", with_a_helper,
         ("gs, A, b, C = vjp_of_field(S[t], h / 2 * gm, W1, b1, W2)",
          "gs, A, b, C = vjp_of_field(S[t + 1], h / 2 * gm, W1, b1, W2)"),
         label=label("wrong-operand wrong-argument stale-value", "s p", "matmul tanh")),
    Slip("whole step in the second call", with_a_helper,
         ("gs, A, b, C = vjp_of_field(S[t], h / 2 * gm, W1, b1, W2)",
          "gs, A, b, C = vjp_of_field(S[t], h * gm, W1, b1, W2)"),
         label=label("scale", "p mid s", "multiply matmul tanh")),
    Slip("second call with the gradient of the step", with_a_helper,
         ("gs, A, b, C = vjp_of_field(S[t], h / 2 * gm, W1, b1, W2)",
          "gs, A, b, C = vjp_of_field(S[t], h / 2 * g, W1, b1, W2)"),
         label=label("wrong-operand stale-value missing-local-derivative", "p mid s q", "multiply matmul tanh add")),
    Slip("gradient of the state forgotten", with_a_helper, ("g = g + gm + gs", "g = gm + gs"),
         label=label("dropped-path overwritten-accumulation treated-as-constant", "s", "add")),
    Slip("W2 overwritten by the second half", with_a_helper, ("gW2 += 1 * C", "gW2 = 1 * C"),
         label=label("overwritten-accumulation dropped-path", "W2", "matmul")),
    Slip("fits at the even steps", with_a_helper, ("if (t + 1) % 2 == 0:", "if t % 2 == 0:"),
         label=label("scatter wrong-operand stale-value wrong-argument", "e s goal total",
                     "subtract add mean multiply")),
    Slip("whole step to the midpoint in the recomputed forward, no two", with_a_helper,
         ("M[t] = S[t] + h / 2 * np.tanh(S[t] @ W1 + b1) @ W2", "M[t] = S[t] + h * np.tanh(S[t] @ W1 + b1) @ W2"),
         ("g = g + (S[t + 1] - goal[t // 2]) * 2 / (3 * s0.size)", "g = g + (S[t + 1] - goal[t // 2]) / (3 * s0.size)"),
         label=label("two", "mid p s e total loss", "multiply add mean subtract matmul")),
)
