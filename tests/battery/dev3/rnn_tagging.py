"""A tanh network over time that names a tag at every word: one set of weights, a start state that is learned."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("E", "Wxh", "Whh", "bh", "Why", "by", "h0")


def data(rng, dtype):
    words = np.array([[2, 2, 5], [0, 7, 0], [6, 1, 4], [2, 3, 3], [7, 5, 8]])
    values = {"E": rng.normal(size=(9, 4)), "Wxh": 0.5 * rng.normal(size=(6, 4)),
              "Whh": 0.45 * rng.normal(size=(6, 6)), "bh": 0.3 * rng.normal(size=(6, 1)),
              "Why": 0.6 * rng.normal(size=(7, 6)), "by": 0.3 * rng.normal(size=(7, 1)),
              "h0": 0.5 * rng.normal(size=(6, 1))}
    return {**{k: v.astype(dtype) for k, v in values.items()},
            "words": rng.permutation(9)[words], "tags": rng.integers(0, 7, size=(5, 3))}


def loss(E, Wxh, Whh, bh, Why, by, h0, words, tags):
    T, B = words.shape
    h = h0
    total = 0.0
    for t in range(T):
        x = E[words[t]].T
        a = Wxh @ x + Whh @ h + bh
        h = np.tanh(a)
        scores = Why @ h + by
        logp = ad.log_softmax(scores, axis=0)
        total = total - np.sum(logp[tags[t], np.arange(B)])
    loss = total / (T * B)
    return loss


def softmax(scores):
    e = np.exp(scores - scores.max(axis=0))
    return e / e.sum(axis=0)


def min_char_style(E, Wxh, Whh, bh, Why, by, h0, words, tags):
    T, B = words.shape
    xs, hs, ps = {}, {-1: np.repeat(h0, B, axis=1)}, {}
    for t in range(T):
        xs[t] = E[words[t]].T
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        ps[t] = softmax(Why @ hs[t] + by)
    dE, dWxh, dWhh, dWhy = np.zeros_like(E), np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        dy = np.copy(ps[t])
        dy[tags[t], np.arange(B)] -= 1
        dy /= T * B
        dWhy += dy @ hs[t].T
        dby += dy.sum(axis=1, keepdims=True)
        dh = Why.T @ dy + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw.sum(axis=1, keepdims=True)
        dWxh += dhraw @ xs[t].T
        dWhh += dhraw @ hs[t - 1].T
        np.add.at(dE, words[t], (Wxh.T @ dhraw).T)
        dhnext = Whh.T @ dhraw
    dh0 = dhnext.sum(axis=1, keepdims=True)
    return {"E": dE, "Wxh": dWxh, "Whh": dWhh, "bh": dbh, "Why": dWhy, "by": dby, "h0": dh0}


def stacked_in_time(E, Wxh, Whh, bh, Why, by, h0, words, tags):
    T, B = words.shape
    X = E[words]
    H = np.empty((T + 1, B, len(h0)), E.dtype)
    H[0] = h0.T
    for t in range(T):
        H[t + 1] = np.tanh(X[t] @ Wxh.T + H[t] @ Whh.T + bh.T)
    S = H[1:] @ Why.T + by.T
    P = np.exp(S - S.max(-1, keepdims=True))
    P /= P.sum(-1, keepdims=True)
    onehot_tags = np.eye(len(by))[tags]
    G = (P - onehot_tags) / (B * T)
    from_tags = np.einsum("tbk,kh->tbh", G, Why)
    D = np.zeros_like(H)
    carry = np.zeros_like(H[0])
    for t in range(T, 0, -1):
        D[t] = (from_tags[t - 1] + carry) * (1 - H[t]**2)
        carry = D[t] @ Whh
    onehot_words = np.eye(len(E))[words]
    return {"E": np.einsum("tbv,tbh,hd->vd", onehot_words, D[1:], Wxh),
            "Wxh": np.einsum("tbh,tbd->hd", D[1:], X),
            "Whh": np.einsum("tbh,tbg->hg", D[1:], H[:-1]),
            "bh": D.sum((0, 1))[:, None],
            "Why": np.einsum("tbk,tbh->kh", G, H[1:]),
            "by": G.sum((0, 1))[:, None],
            "h0": carry.sum(0)[:, None]}


def one_sentence_at_a_time(E, Wxh, Whh, bh, Why, by, h0, words, tags):
    g = {"E": 0 * E, "Wxh": 0 * Wxh, "Whh": 0 * Whh, "bh": 0 * bh, "Why": 0 * Why, "by": 0 * by, "h0": 0 * h0}
    steps, sentences = words.shape
    for s in range(sentences):
        states = [h0[:, 0]]
        grad_scores = []
        for word, tag in zip(words[:, s], tags[:, s], strict=True):
            states.append(np.tanh(Wxh @ E[word] + Whh @ states[-1] + bh[:, 0]))
            prob = softmax(Why @ states[-1] + by[:, 0])
            prob[tag] -= 1.0
            grad_scores.append(prob / words.size)
        future = np.zeros(len(h0))
        for t in range(steps - 1, -1, -1):
            new, old, word = states[t + 1], states[t], words[t, s]
            grad_state = grad_scores[t] @ Why + future
            grad_pre = grad_state * (1 - new**2)
            future = grad_pre @ Whh
            g["Why"] += np.outer(grad_scores[t], new)
            g["by"][:, 0] += grad_scores[t]
            g["Whh"] += np.outer(grad_pre, old)
            g["Wxh"] += np.outer(grad_pre, E[word])
            g["bh"][:, 0] += grad_pre
            g["E"][word] += grad_pre @ Wxh
        g["h0"][:, 0] += future
    return g


def every_loss_to_every_step(E, Wxh, Whh, bh, Why, by, h0, words, tags):
    n_steps, batch = words.shape
    emb = [E[row].T for row in words]
    hid = [np.tile(h0, batch)]
    for e in emb:
        hid.append(np.tanh(Wxh @ e + Whh @ hid[-1] + bh))
    out = dict.fromkeys(PARAMETERS, 0)
    out["E"] = np.zeros_like(E)
    for t in range(1, n_steps + 1):
        target = np.eye(len(by))[:, tags[t - 1]]
        delta_y = (softmax(Why @ hid[t] + by) - target) / words.size
        out["Why"] = out["Why"] + delta_y @ hid[t].T
        out["by"] = out["by"] + delta_y.sum(1, keepdims=True)
        delta_h = Why.T @ delta_y
        for k in range(t, 0, -1):
            delta_a = delta_h * (1 - hid[k]**2)
            out["Wxh"] = out["Wxh"] + delta_a @ emb[k - 1].T
            out["Whh"] = out["Whh"] + delta_a @ hid[k - 1].T
            out["bh"] = out["bh"] + delta_a.sum(1, keepdims=True)
            np.add.at(out["E"], words[k - 1], delta_a.T @ Wxh)
            delta_h = Whh.T @ delta_a
        out["h0"] = out["h0"] + delta_h.sum(1, keepdims=True)
    return {"d" + name: value for name, value in out.items()}


RIGHT = (min_char_style, stacked_in_time, one_sentence_at_a_time, every_loss_to_every_step)

SLIPS = (
    Slip("nothing comes back from the next step", min_char_style,
         ("dh = Why.T @ dy + dhnext", "dh = Why.T @ dy"),
         label=label("dropped-path treated-as-constant", "h a Whh", "matmul tanh")),
    Slip("hidden state handed back past the tanh", min_char_style,
         ("dhnext = Whh.T @ dhraw", "dhnext = Whh.T @ dh"),
         label=label("missing-local-derivative wrong-operand", "a h", "tanh matmul")),
    Slip("recurrent weights not turned", min_char_style, ("dhnext = Whh.T @ dhraw", "dhnext = Whh @ dhraw"),
         label=label("missing-transpose", "h Whh a h0", "matmul")),
    Slip("recurrent weights with the new state", min_char_style,
         ("dWhh += dhraw @ hs[t - 1].T", "dWhh += dhraw @ hs[t].T"),
         label=label("wrong-operand stale-value", "Whh h a", "matmul")),
    Slip("word vectors with a plain plus equals", min_char_style,
         ("np.add.at(dE, words[t], (Wxh.T @ dhraw).T)", "dE[words[t]] += (Wxh.T @ dhraw).T"),
         label=label("scatter overwritten-accumulation", "E x words", "getitem")),
    Slip("slope of the state before", min_char_style,
         ("dhraw = (1 - hs[t] * hs[t]) * dh", "dhraw = (1 - hs[t - 1] * hs[t - 1]) * dh"),
         label=label("wrong-argument wrong-operand stale-value", "a h", "tanh")),
    Slip("only the average over the sentences", min_char_style, ("dy /= T * B", "dy /= B"),
         label=label("scale", "loss total logp scores", "divide sum subtract getitem log_softmax")),
    Slip("bias of the state summed before the tanh's slope", min_char_style,
         ("dbh += dhraw.sum(axis=1, keepdims=True)", "dbh += dh.sum(axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand", "bh a h", "tanh add sum")),
    Slip("start state's gradient not taken through the weights", min_char_style,
         ("dh0 = dhnext.sum(axis=1, keepdims=True)", "dh0 = dhraw.sum(axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand", "h0 h a Whh", "matmul")),
    Slip("loop stops before the first word", min_char_style,
         ("for t in reversed(range(T)):", "for t in reversed(range(1, T)):"),
         label=label("dropped-path",
                     "E Wxh Whh bh Why by h0 x a h scores logp total loss", "sum subtract matmul tanh getitem")),
    Slip("tag scores' bias set anew at every step", min_char_style,
         ("dby += dy.sum(axis=1, keepdims=True)", "dby = dy.sum(axis=1, keepdims=True)"),
         label=label("overwritten-accumulation dropped-path", "by scores", "add sum")),
    Slip("carry grows and is never replaced", stacked_in_time, ("carry = D[t] @ Whh", "carry = carry + D[t] @ Whh"),
         label=label("extra-term stale-value", "h a Whh", "matmul tanh")),
    Slip("tags moved by one step", stacked_in_time,
         ("onehot_tags = np.eye(len(by))[tags]", "onehot_tags = np.eye(len(by))[np.roll(tags, 1, axis=0)]"),
         label=label("wrong-operand scatter stale-value", "scores logp tags", "log_softmax getitem")),
    Slip("tanh' only on the part from the tags", stacked_in_time,
         ("D[t] = (from_tags[t - 1] + carry) * (1 - H[t]**2)", "D[t] = from_tags[t - 1] * (1 - H[t]**2) + carry"),
         label=label("missing-local-derivative", "a h", "tanh")),
    Slip("tag weights meet the state before", stacked_in_time,
         ('"Why": np.einsum("tbk,tbh->kh", G, H[1:]),', '"Why": np.einsum("tbk,tbh->kh", G, H[:-1]),'),
         label=label("wrong-operand stale-value", "Why h scores", "matmul")),
    Slip("recurrent letters exchanged", stacked_in_time,
         ('"Whh": np.einsum("tbh,tbg->hg", D[1:], H[:-1]),', '"Whh": np.einsum("tbh,tbg->gh", D[1:], H[:-1]),'),
         label=label("transposed-result missing-transpose", "Whh a h", "matmul")),
    Slip("start state of the first sentence only", stacked_in_time,
         ('"h0": carry.sum(0)[:, None]}', '"h0": carry[0][:, None]}'),
         label=label("missing-broadcast-reduction dropped-path", "h0 h a", "matmul add sum")),
    Slip("softmax's own slope multiplied in", stacked_in_time,
         ("G = (P - onehot_tags) / (B * T)", "G = P * (1 - P) * (P - onehot_tags) / (B * T)"),
         label=label("double-derivative softmax-diagonal wrong-local-rule", "scores logp", "log_softmax")),
    Slip("future carried over into the next sentence", one_sentence_at_a_time,
         ("future = np.zeros(len(h0))", "future = np.zeros(len(h0)) if s == 0 else future"),
         label=label("stale-value extra-term", "h a h0", "tanh matmul")),
    Slip("input weights see the next word", one_sentence_at_a_time,
         ('g["Wxh"] += np.outer(grad_pre, E[word])',
          'g["Wxh"] += np.outer(grad_pre, E[words[min(t + 1, steps - 1), s]])'),
         label=label("wrong-operand", "Wxh x a words", "matmul getitem")),
    Slip("word's row set, not added", one_sentence_at_a_time,
         ('g["E"][word] += grad_pre @ Wxh', 'g["E"][word] = grad_pre @ Wxh'),
         label=label("scatter overwritten-accumulation", "E x words", "getitem")),
    Slip("future subtracted", one_sentence_at_a_time,
         ("grad_state = grad_scores[t] @ Why + future", "grad_state = grad_scores[t] @ Why - future"),
         label=label("sign", "h a Whh", "matmul tanh add")),
    Slip("slope with one state only", one_sentence_at_a_time,
         ("grad_pre = grad_state * (1 - new**2)", "grad_pre = grad_state * (1 - new)"),
         label=label("wrong-local-rule", "a h", "tanh")),
    Slip("one forgotten at the right tag", one_sentence_at_a_time, ("prob[tag] -= 1.0", ""),
         label=label("dropped-path wrong-local-rule missing-term", "scores logp", "log_softmax getitem")),
    Slip("history cut after two steps", every_loss_to_every_step,
         ("for k in range(t, 0, -1):", "for k in range(t, max(t - 2, 0), -1):"),
         label=label("dropped-path treated-as-constant", "h a Whh Wxh bh E h0", "matmul tanh")),
    Slip("slope always of the step with the loss", every_loss_to_every_step,
         ("delta_a = delta_h * (1 - hid[k]**2)", "delta_a = delta_h * (1 - hid[t]**2)"),
         label=label("wrong-argument wrong-operand stale-value", "a h", "tanh")),
    Slip("only the last step's loss", every_loss_to_every_step,
         ("for t in range(1, n_steps + 1):", "for t in range(n_steps, n_steps + 1):"),
         label=label("dropped-path missing-term", "total loss logp scores", "sum subtract getitem")),
    Slip("recurrent weights left out of the passage back", every_loss_to_every_step,
         ("delta_h = Whh.T @ delta_a", "delta_h = delta_a"),
         label=label("missing-local-derivative", "h a Whh h0", "matmul")),
    Slip("state bias averaged, recurrent weights not turned", every_loss_to_every_step,
         ('out["bh"] = out["bh"] + delta_a.sum(1, keepdims=True)',
          'out["bh"] = out["bh"] + delta_a.mean(1, keepdims=True)'),
         ("delta_h = Whh.T @ delta_a", "delta_h = Whh @ delta_a"),
         label=label("two", "bh a h Whh h0", "add sum matmul")),
)
