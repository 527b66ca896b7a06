"""An LSTM over three steps, its four gates in one matrix, and a yes or no from the last state."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wx", "Wh", "b", "v", "c")


def data(rng, dtype):
    f = lambda scale, *shape: (scale * rng.normal(size=shape)).astype(dtype)
    return {"x": f(1, 6, 3, 5), "h0": f(0.6, 6, 4), "s0": f(0.8, 6, 4), "Wx": f(0.6, 5, 16), "Wh": f(0.6, 4, 16),
            "b": f(0.4, 16), "v": f(1.2, 4), "c": f(0.5), "y": rng.permutation(np.array([0, 1, 1, 0, 1, 0]))}


def loss(x, h0, s0, Wx, Wh, b, v, c, y):
    H = 4
    h, s = h0, s0
    for t in range(3):
        gates = x[:, t] @ Wx + h @ Wh + b
        i = ad.sigmoid(gates[:, :H])
        f = ad.sigmoid(gates[:, H:2 * H])
        o = ad.sigmoid(gates[:, 2 * H:3 * H])
        g = np.tanh(gates[:, 3 * H:])
        s = f * s + i * g
        squashed = np.tanh(s)
        h = o * squashed
    logit = h @ v + c
    nll = np.log(1 + np.exp(logit)) - y * logit
    loss = nll.mean()
    return loss


def sigm(a):
    return 1 / (1 + np.exp(-a))


def with_cache(x, h0, s0, Wx, Wh, b, v, c, y):
    N, T, _ = x.shape
    h, s, cache = h0, s0, []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        ai, af, ao, ag = np.split(a, 4, axis=1)
        i, f, o, g = sigm(ai), sigm(af), sigm(ao), np.tanh(ag)
        h_prev, s_prev = h, s
        s = f * s_prev + i * g
        h = o * np.tanh(s)
        cache.append((x[:, t], h_prev, s_prev, i, f, o, g, s))
    err = (sigm(h @ v + c) - y) / N
    dv, dc = h.T @ err, err.sum()
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh, ds = np.outer(err, v), np.zeros_like(s)
    for xt, h_prev, s_prev, i, f, o, g, s in reversed(cache):
        th = np.tanh(s)
        do = dh * th
        ds += dh * o * (1 - th**2)
        di, dg = ds * g, ds * i
        df = ds * s_prev
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
        dWx += xt.T @ da
        dWh += h_prev.T @ da
        db += da.sum(0)
        dh = da @ Wh.T
        ds = ds * f
    return {"Wx": dWx, "Wh": dWh, "b": db, "v": dv, "c": dc}


def stored_lists(x, h0, s0, Wx, Wh, b, v, c, y):
    H = v.size
    steps = x.shape[1]
    hs, ss, acts = [h0], [s0], []
    for t in range(steps):
        z = x[:, t] @ Wx + hs[t] @ Wh + b
        act = np.empty_like(z)
        act[:, :3 * H] = sigm(z[:, :3 * H])
        act[:, 3 * H:] = np.tanh(z[:, 3 * H:])
        acts.append(act)
        ss.append(act[:, H:2 * H] * ss[t] + act[:, :H] * act[:, 3 * H:])
        hs.append(act[:, 2 * H:3 * H] * np.tanh(ss[t + 1]))
    delta = (sigm(hs[-1] @ v + c) - y) / len(y)
    grads = {"v": (hs[-1] * delta[:, None]).sum(0), "c": delta.sum()}
    dz = np.zeros((steps,) + acts[0].shape)
    dh_next = delta[:, None] * v
    ds_next = np.zeros_like(s0)
    for t in range(steps - 1, -1, -1):
        i, f, o, g = (acts[t][:, k * H:(k + 1) * H] for k in range(4))
        tmp = np.tanh(ss[t + 1])
        ds = ds_next + dh_next * o * (1 - tmp * tmp)
        dz[t, :, :H] = ds * g * i * (1 - i)
        dz[t, :, H:2 * H] = ds * ss[t] * f * (1 - f)
        dz[t, :, 2 * H:3 * H] = dh_next * tmp * o * (1 - o)
        dz[t, :, 3 * H:] = ds * i * (1 - g * g)
        dh_next = dz[t] @ Wh.T
        ds_next = ds * f
    grads["Wx"] = np.einsum("ntd,tng->dg", x, dz)
    grads["Wh"] = np.einsum("tnh,tng->hg", np.stack(hs[:-1]), dz)
    grads["b"] = dz.sum((0, 1))
    return grads


def lstm_step(x_t, h, s, Wx, Wh, b):
    H = h.shape[1]
    a = x_t @ Wx + h @ Wh + b
    i, f, o = sigm(a[:, :H]), sigm(a[:, H:2 * H]), sigm(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    s_new = f * s + i * g
    tanh_s = np.tanh(s_new)
    return o * tanh_s, s_new, (i, f, o, g, tanh_s)


def unrolled(x, h0, s0, Wx, Wh, b, v, c, y):
    h1, s1, (i1, f1, o1, g1, q1) = lstm_step(x[:, 0], h0, s0, Wx, Wh, b)
    h2, s2, (i2, f2, o2, g2, q2) = lstm_step(x[:, 1], h1, s1, Wx, Wh, b)
    h3, s3, (i3, f3, o3, g3, q3) = lstm_step(x[:, 2], h2, s2, Wx, Wh, b)
    p = sigm(h3 @ v + c)
    dlogit = (p - y) / y.size
    dv = h3.T @ dlogit
    dc = np.sum(dlogit)

    dh3 = dlogit[:, None] * v[None, :]
    do3 = dh3 * q3
    dq3 = dh3 * o3
    ds3 = dq3 * (1 - q3**2)
    df3 = ds3 * s2
    di3 = ds3 * g3
    dg3 = ds3 * i3
    dai3 = di3 * i3 * (1 - i3)
    daf3 = df3 * f3 * (1 - f3)
    dao3 = do3 * o3 * (1 - o3)
    dag3 = dg3 * (1 - g3**2)
    da3 = np.concatenate([dai3, daf3, dao3, dag3], axis=1)

    dh2 = da3 @ Wh.T
    do2 = dh2 * q2
    dq2 = dh2 * o2
    ds2 = dq2 * (1 - q2**2)
    ds2 = ds2 + ds3 * f3
    df2 = ds2 * s1
    di2 = ds2 * g2
    dg2 = ds2 * i2
    dai2 = di2 * i2 * (1 - i2)
    daf2 = df2 * f2 * (1 - f2)
    dao2 = do2 * o2 * (1 - o2)
    dag2 = dg2 * (1 - g2**2)
    da2 = np.concatenate([dai2, daf2, dao2, dag2], axis=1)

    dh1 = da2 @ Wh.T
    do1 = dh1 * q1
    dq1 = dh1 * o1
    ds1 = dq1 * (1 - q1**2)
    ds1 = ds1 + ds2 * f2
    df1 = ds1 * s0
    di1 = ds1 * g1
    dg1 = ds1 * i1
    dai1 = di1 * i1 * (1 - i1)
    daf1 = df1 * f1 * (1 - f1)
    dao1 = do1 * o1 * (1 - o1)
    dag1 = dg1 * (1 - g1**2)
    da1 = np.concatenate([dai1, daf1, dao1, dag1], axis=1)

    dWx = x[:, 0].T @ da1 + x[:, 1].T @ da2 + x[:, 2].T @ da3
    dWh = h0.T @ da1 + h1.T @ da2 + h2.T @ da3
    db = da1.sum(axis=0) + da2.sum(axis=0) + da3.sum(axis=0)
    return {"dWx": dWx, "dWh": dWh, "db": db, "dv": dv, "dc": dc}


RIGHT = (with_cache, stored_lists, unrolled)

SLIPS = (
    Slip("cell's gradient not carried to the step before", with_cache, ("ds = ds * f", "ds = np.zeros_like(ds)"),
         label=label("dropped-path", "s f", "multiply add")),
    Slip("output's part replaces the carried cell gradient", with_cache,
         ("ds += dh * o * (1 - th**2)", "ds = dh * o * (1 - th**2)"),
         label=label("overwritten-accumulation dropped-path", "s squashed h", "multiply add tanh")),
    Slip("forget gate left out of the carried cell gradient", with_cache, ("ds = ds * f", ""),
         label=label("missing-local-derivative", "s f", "multiply")),
    Slip("cell carried through the input gate", with_cache, ("ds = ds * f", "ds = ds * i"),
         label=label("wrong-operand wrong-argument", "s f i", "multiply")),
    Slip("forget gate by the new cell", with_cache, ("df = ds * s_prev", "df = ds * s"),
         label=label("wrong-operand stale-value", "f s", "multiply")),
    Slip("tanh of the cell not derived", with_cache, ("ds += dh * o * (1 - th**2)", "ds += dh * o"),
         label=label("missing-local-derivative", "squashed s", "tanh")),
    Slip("output gate by the raw cell", with_cache, ("do = dh * th", "do = dh * s"),
         label=label("wrong-operand missing-local-derivative", "o h squashed s", "multiply")),
    Slip("input gate and candidate swapped", with_cache, ("di, dg = ds * g, ds * i", "di, dg = ds * i, ds * g"),
         label=label("swapped wrong-operand", "i g s", "multiply")),
    Slip("gates stacked with output before forget", with_cache,
         ("da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])",
          "da = np.hstack([di * i * (1 - i), do * o * (1 - o), df * f * (1 - f), dg * (1 - g**2)])"),
         label=label("swapped scatter", "gates o f Wx Wh b", "getitem sigmoid")),
    Slip("candidate treated as a sigmoid", with_cache,
         ("da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])",
          "da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * g * (1 - g)])"),
         label=label("wrong-local-rule", "g gates", "tanh")),
    Slip("gates' sigmoids not derived", with_cache,
         ("da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])",
          "da = np.hstack([di, df, do, dg * (1 - g**2)])"),
         label=label("missing-local-derivative", "i f o gates", "sigmoid")),
    Slip("recurrent weights keep the first step only", with_cache, ("dWh += h_prev.T @ da", "dWh = h_prev.T @ da"),
         label=label("overwritten-accumulation dropped-path", "Wh gates h h0", "matmul")),
    Slip("hidden gradient not carried", with_cache, ("dh = da @ Wh.T", "dh = np.zeros_like(dh)"),
         label=label("dropped-path", "h gates Wh", "matmul")),
    Slip("readout's gradient added at every step", with_cache,
         ("dh = da @ Wh.T", "dh = da @ Wh.T + np.outer(err, v)"),
         label=label("extra-term double-derivative", "h logit v", "matmul add")),
    Slip("squared readout error", with_cache,
         ("err = (sigm(h @ v + c) - y) / N", "err = 2 * (sigm(h @ v + c) - y) / N"),
         label=label("scale", "logit nll loss h", "log exp mean multiply subtract add")),
    Slip("cache read in the order of time", with_cache,
         ("for xt, h_prev, s_prev, i, f, o, g, s in reversed(cache):",
          "for xt, h_prev, s_prev, i, f, o, g, s in cache:"),
         label=label("stale-value wrong-operand wrong-axis",
                     "s h gates i f o g squashed x", "multiply tanh sigmoid matmul")),
    Slip("hidden states after the step for the recurrent weights", stored_lists,
         ('grads["Wh"] = np.einsum("tnh,tng->hg", np.stack(hs[:-1]), dz)',
          'grads["Wh"] = np.einsum("tnh,tng->hg", np.stack(hs[1:]), dz)'),
         label=label("wrong-operand stale-value", "Wh gates h", "matmul")),
    Slip("cell before the step under the tanh", stored_lists,
         ("tmp = np.tanh(ss[t + 1])", "tmp = np.tanh(ss[t])"),
         label=label("wrong-argument stale-value wrong-operand", "squashed s o h", "tanh multiply")),
    Slip("forget gate by the cell of the step itself", stored_lists,
         ("dz[t, :, H:2 * H] = ds * ss[t] * f * (1 - f)", "dz[t, :, H:2 * H] = ds * ss[t + 1] * f * (1 - f)"),
         label=label("wrong-operand stale-value", "f s", "multiply")),
    Slip("loop stops before the first step", stored_lists,
         ("for t in range(steps - 1, -1, -1):", "for t in range(steps - 1, 0, -1):"),
         label=label("dropped-path", "gates Wx Wh b s h i f o g x h0 s0", "matmul add getitem")),
    Slip("forget gate of the step after", stored_lists,
         ("ds_next = ds * f", "ds_next = ds * acts[min(t + 1, steps - 1)][:, H:2 * H]"),
         label=label("wrong-operand stale-value", "s f", "multiply")),
    Slip("only the direct part of the cell handed back", stored_lists,
         ("ds_next = ds * f", "ds_next = dh_next_old * o * (1 - tmp * tmp) * f"),
         ("dh_next = dz[t] @ Wh.T", "dh_next_old = dh_next\ndh_next = dz[t] @ Wh.T"),
         label=label("dropped-path overwritten-accumulation", "s f squashed h", "multiply add tanh")),
    Slip("recurrent gradient through the candidate alone", stored_lists,
         ("dh_next = dz[t] @ Wh.T", "dh_next = dz[t][:, 3 * H:] @ Wh[:, 3 * H:].T"),
         label=label("dropped-path", "h gates i f o Wh", "matmul getitem")),
    Slip("inputs of the sequence backwards", stored_lists,
         ('grads["Wx"] = np.einsum("ntd,tng->dg", x, dz)', 'grads["Wx"] = np.einsum("ntd,tng->dg", x[:, ::-1], dz)'),
         label=label("wrong-operand wrong-axis stale-value scatter", "Wx x gates", "matmul getitem")),
    Slip("bias averaged over time", stored_lists, ('grads["b"] = dz.sum((0, 1))', 'grads["b"] = dz.mean(0).sum(0)'),
         label=label("scale", "b gates", "add")),
    Slip("plus in the derivative of the tanh", stored_lists,
         ("ds = ds_next + dh_next * o * (1 - tmp * tmp)", "ds = ds_next + dh_next * o * (1 + tmp * tmp)"),
         label=label("sign wrong-local-rule", "squashed s", "tanh")),
    Slip("output gate's factor left out on the way to the cell", stored_lists,
         ("ds = ds_next + dh_next * o * (1 - tmp * tmp)", "ds = ds_next + dh_next * (1 - tmp * tmp)"),
         label=label("missing-local-derivative", "h squashed o s", "multiply")),
    Slip("mean over the batch forgotten", stored_lists,
         ("delta = (sigm(hs[-1] @ v + c) - y) / len(y)", "delta = sigm(hs[-1] @ v + c) - y"),
         label=label("scale", "loss nll logit", "mean")),
    Slip("readout from the cell instead of the state", stored_lists,
         ('grads = {"v": (hs[-1] * delta[:, None]).sum(0), "c": delta.sum()}',
          'grads = {"v": (ss[-1] * delta[:, None]).sum(0), "c": delta.sum()}'),
         label=label("wrong-operand", "v logit h s", "matmul")),
    Slip("third step's gate pasted into the second", unrolled,
         ("dao2 = do2 * o2 * (1 - o2)", "dao2 = do2 * o3 * (1 - o3)"),
         label=label("wrong-argument wrong-operand stale-value", "o gates", "sigmoid")),
    Slip("second step's cell not joined by the third's", unrolled, ("ds2 = ds2 + ds3 * f3", ""),
         label=label("dropped-path", "s f", "multiply add")),
    Slip("first step's cell joined through its own forget gate", unrolled,
         ("ds1 = ds1 + ds2 * f2", "ds1 = ds1 + ds2 * f1"),
         label=label("wrong-operand stale-value", "s f", "multiply")),
    Slip("cell gradient of two steps later", unrolled, ("ds1 = ds1 + ds2 * f2", "ds1 = ds1 + ds3 * f2"),
         label=label("stale-value wrong-operand", "s f", "multiply")),
    Slip("first state through the last step's gates", unrolled, ("dh1 = da2 @ Wh.T", "dh1 = da3 @ Wh.T"),
         label=label("stale-value wrong-operand", "h gates Wh", "matmul")),
    Slip("subtracted cell path", unrolled, ("ds2 = ds2 + ds3 * f3", "ds2 = ds2 - ds3 * f3"),
         label=label("sign", "s f", "multiply add")),
    Slip("start state's term missing", unrolled,
         ("dWh = h0.T @ da1 + h1.T @ da2 + h2.T @ da3", "dWh = h1.T @ da2 + h2.T @ da3"),
         label=label("dropped-path", "Wh gates h h0", "matmul")),
    Slip("bias of the last step only", unrolled,
         ("db = da1.sum(axis=0) + da2.sum(axis=0) + da3.sum(axis=0)", "db = da3.sum(axis=0)"),
         label=label("dropped-path overwritten-accumulation", "b gates", "add")),
    Slip("label minus probability, and tanh's slope without the square at the first step", unrolled,
         ("dlogit = (p - y) / y.size", "dlogit = (y - p) / y.size"),
         ("dag1 = dg1 * (1 - g1**2)", "dag1 = dg1 * (1 - g1)"),
         label=label("two", "logit nll loss g gates", "log exp mean subtract tanh")),
    Slip("input gate's slope twice", unrolled, ("dai3 = di3 * i3 * (1 - i3)", "dai3 = di3 * (i3 * (1 - i3)) ** 2"),
         label=label("double-derivative wrong-local-rule", "i gates", "sigmoid")),
)
