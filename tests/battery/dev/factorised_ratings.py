"""Ratings as a product of two thin matrices with biases; seen entries only, both factors decayed."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("P", "Q", "p", "q")
lam = 0.3


def data(rng, dtype):
    return {"R": rng.normal(size=(4, 4)).astype(dtype), "seen": (rng.random((4, 4)) < 0.7).astype(dtype),
            "P": rng.normal(size=(4, 2)).astype(dtype), "Q": rng.normal(size=(4, 2)).astype(dtype),
            "p": rng.normal(size=4).astype(dtype), "q": rng.normal(size=4).astype(dtype)}


def loss(R, seen, P, Q, p, q):
    hat = P @ Q.T + p[:, None] + q
    e = seen * (hat - R)
    fit = (e ** 2).sum() / seen.sum()
    size = np.sum(P * P) + np.sum(Q * Q)
    loss = fit + lam * size
    return loss


def by_matrices(R, seen, P, Q, p, q):
    hat = P @ Q.T + p[:, None] + q
    e = seen * (hat - R)
    g = 2 * seen * e / seen.sum()
    gP = g @ Q
    gP = gP + 2 * lam * P
    gQ = g.T @ P
    gQ = gQ + 2 * lam * Q
    gp = g.sum(axis=1)
    gq = g.sum(axis=0)
    return {"P": gP, "Q": gQ, "p": gp, "q": gq}


def rating_by_rating(R, seen, P, Q, p, q):
    gP, gQ, gp, gq = 2 * lam * P, 2 * lam * Q, 0 * p, 0 * q
    n = np.sum(seen)
    for u, i in zip(*np.nonzero(seen)):
        miss = P[u] @ Q[i] + p[u] + q[i] - R[u, i]
        step = 2 * miss / n
        gP[u] += step * Q[i]
        gQ[i] += step * P[u]
        gp[u] += step
        gq[i] += step
    return {"P": gP, "Q": gQ, "p": gp, "q": gq}


RIGHT = (by_matrices, rating_by_rating)

SLIPS = (
    Slip("forgot which are seen", by_matrices, ("e = seen * (hat - R)", "e = hat - R"),
         ("g = 2 * seen * e / seen.sum()", "g = 2 * e / seen.sum()")),
    Slip("divided by all, not by the seen", by_matrices,
         ("g = 2 * seen * e / seen.sum()", "g = 2 * seen * e / seen.size")),
    Slip("g not transposed for Q", by_matrices, ("gQ = g.T @ P", "gQ = g @ P")),
    Slip("P for Q", by_matrices, ("gP = g @ Q", "gP = g @ P")),
    Slip("axes of the biases exchanged", by_matrices, ("gp = g.sum(axis=1)", "gp = g.sum(axis=0)"),
         ("gq = g.sum(axis=0)", "gq = g.sum(axis=1)")),
    Slip("p summed over the users", by_matrices, ("gp = g.sum(axis=1)", "gp = g.sum(axis=0)")),
    Slip("q not summed", by_matrices, ("gq = g.sum(axis=0)", "gq = g")),
    Slip("P and Q swapped", by_matrices, ('return {"P": gP, "Q": gQ, "p": gp, "q": gq}',
                                          'return {"P": gQ, "Q": gP, "p": gp, "q": gq}')),
    Slip("decay of Q forgotten", by_matrices, ("gQ = gQ + 2 * lam * Q", "")),
    Slip("decay without the two", by_matrices, ("gP = gP + 2 * lam * P", "gP = gP + lam * P"),
         ("gQ = gQ + 2 * lam * Q", "gQ = gQ + lam * Q")),
    Slip("biases decayed too", by_matrices, ("gp = g.sum(axis=1)", "gp = g.sum(axis=1) + 2 * lam * p"),
         ("gq = g.sum(axis=0)", "gq = g.sum(axis=0) + 2 * lam * q")),
    Slip("decay subtracted", by_matrices, ("gP = gP + 2 * lam * P", "gP = gP - 2 * lam * P")),
    Slip("Q's step with P already moved", by_matrices, ("gQ = g.T @ P", "gQ = g.T @ (P - 0.05 * gP)")),
    Slip("row overwritten by each rating", rating_by_rating, ("gP[u] += step * Q[i]", "gP[u] = step * Q[i]")),
    Slip("user and item rows exchanged", rating_by_rating, ("gP[u] += step * Q[i]", "gP[i] += step * Q[u]")),
    Slip("bias at the wrong index", rating_by_rating, ("gp[u] += step", "gp[i] += step")),
    Slip("P moved inside the loop", rating_by_rating,
         ("gQ[i] += step * P[u]", "gQ[i] += step * (P[u] - 0.05 * step * Q[i])")),
    Slip("no two, and no decay of P", rating_by_rating,
         ("gP, gQ, gp, gq = 2 * lam * P, 2 * lam * Q, 0 * p, 0 * q",
          "gP, gQ, gp, gq = 0 * P, 2 * lam * Q, 0 * p, 0 * q"),
         ("step = 2 * miss / n", "step = miss / n")),
)
