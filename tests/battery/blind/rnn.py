"""A tanh network over the steps of one sequence, column vectors, cross entropy summed over the steps."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wxh", "Whh", "bh", "Why", "by", "h0")


def data(rng, dtype):
    n = lambda *shape: (0.7 * rng.normal(size=shape)).astype(dtype)
    return {"xs": n(5, 3), "targets": rng.integers(0, 6, size=5), "h0": n(4), "Wxh": n(4, 3), "Whh": n(4, 4),
            "bh": n(4), "Why": n(6, 4), "by": n(6)}


def loss(xs, targets, h0, Wxh, Whh, bh, Why, by):
    h = h0
    total = 0.0
    for t in range(len(xs)):
        h = np.tanh(Wxh @ xs[t] + Whh @ h + bh)
        y = Why @ h + by
        total = total - ad.log_softmax(y)[targets[t]]
    return total


def char_rnn(xs, targets, h0, Wxh, Whh, bh, Why, by):
    hs, ps = {-1: np.copy(h0)}, {}
    loss = 0
    for t in range(len(xs)):
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t]])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(h0)
    for t in reversed(range(len(xs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.outer(dy, hs[t])
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.outer(dhraw, xs[t])
        dWhh += np.outer(dhraw, hs[t - 1])
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}


def stacked_over_time(xs, targets, h0, Wxh, Whh, bh, Why, by):
    T = len(xs)
    H = [h0]
    for x in xs:
        H.append(np.tanh(Wxh @ x + Whh @ H[-1] + bh))
    H = np.stack(H)
    logits = H[1:] @ Why.T + by
    logits = logits - logits.max(axis=1, keepdims=True)
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    Delta_y = P.copy()
    Delta_y[np.arange(T), targets] -= 1
    Delta = np.zeros((T, len(h0)), dtype=h0.dtype)
    up = Delta_y @ Why
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            up[t] += Delta[t + 1] @ Whh
        Delta[t] = up[t] * (1 - H[t + 1] ** 2)
    grad_Why = Delta_y.T @ H[1:]
    grad_by = Delta_y.sum(axis=0)
    grad_Wxh = Delta.T @ xs
    grad_Whh = Delta.T @ H[:-1]
    grad_bh = Delta.sum(axis=0)
    grad_h0 = Delta[0] @ Whh
    return {"dWxh": grad_Wxh, "dWhh": grad_Whh, "dbh": grad_bh, "dWhy": grad_Why, "dby": grad_by, "dh0": grad_h0}


def sum_over_pairs_of_steps(xs, targets, h0, Wxh, Whh, bh, Why, by):
    T = len(xs)
    h = np.zeros((T + 1, len(h0)), dtype=h0.dtype)
    h[0] = h0
    for t in range(1, T + 1):
        h[t] = np.tanh(Wxh @ xs[t - 1] + Whh @ h[t - 1] + bh)
    gWxh, gWhh, gbh = 0 * Wxh, 0 * Whh, 0 * bh
    gWhy, gby, gh0 = 0 * Why, 0 * by, 0 * h0
    for t in range(1, T + 1):
        p = np.exp(Why @ h[t] + by)
        p = p / p.sum()
        err = p - np.eye(len(by), dtype=by.dtype)[targets[t - 1]]
        gWhy += err[:, None] * h[t][None, :]
        gby += err
        back = Why.T @ err
        for s in range(t, 0, -1):
            delta = back * (1 - h[s] ** 2)
            gWxh += delta[:, None] * xs[s - 1][None, :]
            gWhh += delta[:, None] * h[s - 1][None, :]
            gbh += delta
            back = Whh.T @ delta
        gh0 += back
    return {"Wxh": gWxh, "Whh": gWhh, "bh": gbh, "Why": gWhy, "by": gby, "h0": gh0}


RIGHT = (char_rnn, stacked_over_time, sum_over_pairs_of_steps)

SLIPS = (
    Slip("forgot to add the gradient that comes from the next step to dh", char_rnn,
         ("dh = np.dot(Why.T, dy) + dhnext", "dh = np.dot(Why.T, dy)")),
    Slip("forgot the transpose of Whh when going back in time", char_rnn,
         ("dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh, dhraw)")),
    Slip("the gradient of the next step does not pass through tanh", char_rnn,
         ("dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh.T, dh)")),
    Slip("current hidden state instead of the previous one in Whh's gradient", char_rnn,
         ("dWhh += np.outer(dhraw, hs[t - 1])", "dWhh += np.outer(dhraw, hs[t])")),
    Slip("Whh's gradient overwritten at every step", char_rnn,
         ("dWhh += np.outer(dhraw, hs[t - 1])", "dWhh = np.outer(dhraw, hs[t - 1])")),
    Slip("derivative of the sigmoid for the tanh", char_rnn,
         ("dhraw = (1 - hs[t] * hs[t]) * dh", "dhraw = hs[t] * (1 - hs[t]) * dh")),
    Slip("forgot to subtract the one hot target at the logits", char_rnn, ("dy[targets[t]] -= 1", "")),
    Slip("clipped the gradients before returning them", char_rnn,
         ('return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}',
          "for dparam in [dWxh, dWhh, dWhy, dbh, dby]:\n"
          "    np.clip(dparam, -0.5, 0.5, out=dparam)\n"
          'return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}')),
    Slip("walked forward in time in the backward pass", char_rnn,
         ("for t in reversed(range(len(xs))):", "for t in range(0, len(xs)):")),
    Slip("updated Whh inside the backward loop", char_rnn,
         ("dhnext = np.dot(Whh.T, dhraw)", "Whh = Whh - 0.1 * dWhh\ndhnext = np.dot(Whh.T, dhraw)")),
    Slip("returned the last dh for h0", char_rnn,
         ('return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}',
          'return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dh}')),
    Slip("averaged over the steps, the loss is a sum", stacked_over_time,
         ("Delta_y[np.arange(T), targets] -= 1", "Delta_y[np.arange(T), targets] -= 1\nDelta_y /= T")),
    Slip("previous state in the tanh derivative", stacked_over_time,
         ("Delta[t] = up[t] * (1 - H[t + 1] ** 2)", "Delta[t] = up[t] * (1 - H[t] ** 2)")),
    Slip("the last step was skipped in the loop over time", stacked_over_time,
         ("for t in range(T - 1, -1, -1):", "for t in range(T - 2, -1, -1):")),
    Slip("overwrote the gradient of the output with the one from the future", stacked_over_time,
         ("up[t] += Delta[t + 1] @ Whh", "up[t] = Delta[t + 1] @ Whh")),
    Slip("used the softmax of the wrong step: targets shifted by one", stacked_over_time,
         ("Delta_y[np.arange(T), targets] -= 1", "Delta_y[np.arange(T), np.roll(targets, -1)] -= 1")),
    Slip("bh's gradient averaged over the steps", stacked_over_time,
         ("grad_bh = Delta.sum(axis=0)", "grad_bh = Delta.mean(axis=0)")),
    Slip("truncated to two steps back", sum_over_pairs_of_steps,
         ("for s in range(t, 0, -1):", "for s in range(t, max(t - 2, 0), -1):")),
    Slip("input of the outer step in Wxh's gradient", sum_over_pairs_of_steps,
         ("gWxh += delta[:, None] * xs[s - 1][None, :]", "gWxh += delta[:, None] * xs[t - 1][None, :]")),
    Slip("h0 only from the last step's loss, and bias of the output forgotten to accumulate", sum_over_pairs_of_steps,
         ("gh0 += back", "gh0 = back"), ("gby += err", "gby = err")),
    Slip("tanh' without the square", sum_over_pairs_of_steps,
         ("delta = back * (1 - h[s] ** 2)", "delta = back * (1 - h[s])")),
)
