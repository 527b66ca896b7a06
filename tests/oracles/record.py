"""What PyTorch and JAX answer on the declared table, written beside this script; the tests need neither.

    pip install numpy torch jax && python tests/oracles/record.py        # or: ... record.py torch; JAX takes minutes

Every line of `tests.table` is evaluated on the table's own seeded arguments: its value y, the gradient of Σ w y for a
fixed w, and the derivative of that gradient along fixed directions v (for w and v see `weight`). Where a line calls one
of our functions the library's own is called in its place (`F.gelu` for `ad.gelu`); where it has none, the line as it is
spelled out for NumPy. What cannot be expressed at all is listed with the reason.

An array is kept as one number, Σ r a with fixed random r, and its shape. That is small, and no element can differ
without changing it. The arguments' own are kept too: a line with other arguments is not compared, but recorded again.
"""

import inspect
import json
import platform
import re
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import numpy as np

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

from tests.table import TABLE, weight  # noqa: E402

# ---- arrays as numbers (the tests use these too)

def directions(case, xs):
    """Along which the gradient is differentiated, per differentiable argument."""
    return [weight(xs[i], seed=2 + n) for n, i in enumerate(case.wrt)]


def projected(a, scale=False):
    """Σ r a with fixed random r between 1 and 2; with `scale`, Σ |r a|, which is what its rounding is measured by."""
    terms = np.random.default_rng([20, *np.shape(a)]).uniform(1, 2, np.shape(a)) * a
    return float(np.sum(np.abs(terms) if scale else terms))


def fingerprint(case):
    """The arguments as a number."""
    return projected([projected(x) for x in (np.asarray(x) for x in case.arrays()) if x.dtype.kind in "biuf"])


# ---- PyTorch

class Torch:
    """PyTorch by its own layer of NumPy names (`torch._numpy`), differentiated by its own tape."""

    packages = ("torch",)

    def __init__(self):
        import torch
        import torch._numpy as tnp
        import torch.nn.functional as F

        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.torch, self.tnp = torch, tnp

        def plain(x):
            return x.tensor if isinstance(x, tnp.ndarray) else torch.as_tensor(x) if isinstance(x, np.ndarray) else x

        def theirs(f):
            return lambda *xs, **options: tnp.ndarray(f(*map(plain, xs), **options))

        def axes(f):
            """`axis` as theirs; of a tuple of axes the function is their flattened one's."""
            def along(x, axis=-1):
                if isinstance(axis, int):
                    return f(x, dim=axis)
                last = tuple(range(-len(axis), 0))
                moved = x.movedim(axis, last)
                return f(moved.flatten(-len(axis)), dim=-1).reshape(moved.shape).movedim(last, axis)
            return along

        def logsumexp(x, axis=None, keepdims=False):
            return torch.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis, keepdims)

        def cross_entropy(z, t):
            """Classes last, as ours; theirs are along the second axis of a batch."""
            if z.ndim > 2:
                z, t = z.movedim(-1, 1), t.movedim(-1, 1) if torch.is_floating_point(t) else t
            return F.cross_entropy(z, torch.as_tensor(t), reduction="none")

        def index_update(x, index, value):
            x = x.clone()
            x[index] = value
            return x

        self.ours = names(
            sigmoid=theirs(torch.sigmoid), softplus=theirs(F.softplus), relu=theirs(F.relu),
            log_sigmoid=theirs(F.logsigmoid), silu=theirs(F.silu), mish=theirs(F.mish),
            gelu=theirs(F.gelu), gelu_tanh=theirs(lambda x: F.gelu(x, approximate="tanh")),
            elu=theirs(F.elu), leaky_relu=theirs(F.leaky_relu), hardtanh=theirs(F.hardtanh),
            softmax=theirs(axes(torch.softmax)), log_softmax=theirs(axes(torch.log_softmax)),
            logsumexp=theirs(logsumexp), sum_to=theirs(lambda x, shape: x.sum_to_size(shape)),
            linear=theirs(lambda x, W, b=None: F.linear(x, W, b)),
            squared_error=theirs(lambda a, b: F.mse_loss(a, b, reduction="none")),
            binary_cross_entropy=theirs(lambda p, t: F.binary_cross_entropy(p, t, reduction="none")),
            binary_cross_entropy_with_logits=theirs(
                lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none")),
            cross_entropy_of_labels=theirs(cross_entropy), cross_entropy_of_probabilities=theirs(cross_entropy),
            index_update=theirs(index_update),
        )
        def over(f):
            """A reduction of the last axis, over any axes."""
            def reduction(x, axis=None, keepdims=False):
                axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
                axes = tuple(a % x.ndim for a in axes)
                rest = [n for i, n in enumerate(x.shape) if i not in axes]
                y = f(x.movedim(axes, tuple(range(-len(axes), 0))).reshape(*rest, -1) if axes else x[..., None])
                return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y
            return theirs(reduction)

        along = {"cross": theirs(lambda a, b, axis=-1: torch.linalg.cross(a, b, dim=axis)),
                 "matrix_transpose": theirs(lambda x: x.mT)}
        self.numpy = names(
            tnp, **along, linalg=names(tnp.linalg, **along, outer=tnp.outer, tensordot=tnp.tensordot),
            add=Reducing(tnp.add, tnp.sum), multiply=Reducing(tnp.multiply, over(lambda x: x.prod(-1))),
            maximum=Reducing(tnp.maximum, tnp.max), minimum=Reducing(tnp.minimum, tnp.min),
            squeeze=theirs(lambda x, axis=None: torch.squeeze(x) if axis is None else torch.squeeze(x, axis)),
            reshape=theirs(lambda x, shape: x.reshape(shape)), trapezoid=theirs(torch.trapezoid),
            median=over(lambda x: x.quantile(0.5, -1)),
            prod=over(lambda x: x.prod(-1)), nansum=over(lambda x: x.nansum(-1)), nanmean=over(lambda x: x.nanmean(-1)),
            nanmax=over(lambda x: torch.where(x.isnan(), -torch.inf, x).amax(-1)),
            nanmin=over(lambda x: torch.where(x.isnan(), torch.inf, x).amin(-1)),
            fmax=theirs(torch.fmax), fmin=theirs(torch.fmin), sinc=theirs(torch.sinc), fix=theirs(torch.trunc),
            swapaxes=theirs(torch.swapaxes), nan_to_num=theirs(torch.nan_to_num),
            pi=np.pi, e=np.e, inf=np.inf, nan=np.nan, newaxis=None,
        )

    def answers(self, case, f, xs, w, vs):
        torch = self.torch
        ts = [torch.tensor(x, requires_grad=True) if i in case.wrt else x for i, x in enumerate(xs)]
        wanted = [ts[i] for i in case.wrt]
        y = f(self.numpy, *[self.tnp.ndarray(t) if isinstance(t, torch.Tensor) else t for t in ts])
        y = y.tensor if isinstance(y, self.tnp.ndarray) else y
        total = (y * torch.as_tensor(w(y)).to(y.dtype)).sum()
        first = torch.autograd.grad(total, wanted, create_graph=True, materialize_grads=True)
        along = sum((g * torch.as_tensor(v)).sum() for g, v in zip(first, vs))
        second = torch.autograd.grad(along, wanted, materialize_grads=True) if along.requires_grad else \
            [torch.zeros_like(t) for t in wanted]
        return y.detach().numpy(), *([g.numpy(force=True) for g in gs] for gs in (first, second))


# ---- JAX

class Jax:
    """`jax.numpy` in float64; second derivatives forward over reverse."""

    packages = ("jax", "jaxlib")

    def __init__(self):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        self.jax, nn = jax, jax.nn
        self.ours = names(
            sigmoid=nn.sigmoid, softplus=nn.softplus, relu=nn.relu, log_sigmoid=nn.log_sigmoid, silu=nn.silu,
            mish=nn.mish, gelu=lambda x: nn.gelu(x, approximate=False), gelu_tanh=nn.gelu, elu=nn.elu,
            leaky_relu=nn.leaky_relu, hardtanh=nn.hard_tanh, softmax=nn.softmax, log_softmax=nn.log_softmax,
            logsumexp=nn.logsumexp, index_update=lambda x, index, value: x.at[index].set(value),
        )

        def of_lists(f):
            """They take no lists of numbers."""
            return lambda *xs, **options: f(*(np.array(x) if isinstance(x, list) else x for x in xs), **options)

        self.numpy = names(jnp, take=of_lists(jnp.take), repeat=of_lists(jnp.repeat), compress=of_lists(jnp.compress),
                           fix=jnp.trunc)

    def answers(self, case, f, xs, w, vs):
        jax = self.jax

        def value(*chosen):
            full = list(xs)
            for i, x in zip(case.wrt, chosen):
                full[i] = x
            return f(self.numpy, *full)

        chosen = [jax.numpy.asarray(xs[i]) for i in case.wrt]
        y = value(*chosen)
        gradient = jax.grad(lambda *xs: (value(*xs) * w(y).astype(y.dtype)).sum(), tuple(range(len(chosen))))
        first, second = jax.jvp(gradient, tuple(chosen), tuple(vs))
        return np.asarray(y), [np.asarray(g) for g in first], [np.asarray(g) for g in second]


ORACLES = {"torch": Torch, "jax": Jax}


class names:
    """Names and what they mean; any other from `fallback`."""

    def __init__(self, fallback=None, **meanings):
        self.fallback, self.meanings = fallback, meanings

    def __getattr__(self, name):
        try:
            return self.meanings[name]
        except KeyError:
            if self.fallback is None:
                raise AttributeError(f"no function that is {name}") from None
            return getattr(self.fallback, name)


class Reducing:
    """A function of two arguments that can be folded along an axis, as NumPy's universal functions."""

    def __init__(self, function, fold):
        self.function, self.fold = function, fold

    def __call__(self, *xs):
        return self.function(*xs)

    def reduce(self, x, axis=0, **options):
        return self.fold(x, axis=axis, **options)


# ---- recording

def expressed(case, oracle):
    """Value, gradients and second derivatives of a line; the line's own form first, then the one spelled out."""
    xs = case.arrays()
    vs = directions(case, xs)
    problem = None
    for f in (case.f, case.plain):
        if f is None:
            continue
        try:
            with patch.dict(inspect.unwrap(f).__globals__, ad=oracle.ours), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = oracle.answers(case, f, xs, weight, vs)
            return check(case, xs, *found)
        except Exception as error:
            problem = problem or error
    raise problem


def check(case, xs, value, first, second):
    """Refuse what answers another question: another kind, shape or value than NumPy's, or not finite."""
    for a in (value, *first, *second):
        if a.dtype.kind != "f":
            raise TypeError(f"answers with {a.dtype}")
        if not np.all(np.isfinite(a)):
            raise ValueError("an answer that is not finite")
    expected = np.asarray(case.spelled(np, *xs))
    if value.shape != expected.shape:
        raise ValueError(f"answers with shape {value.shape}, NumPy with {expected.shape}")
    if not np.allclose(value, expected, rtol=1e-9 if value.dtype == np.float64 else 1e-6, atol=1e-12):
        raise ValueError("answers with other values than NumPy")
    assert [np.shape(g) for g in (*first, *second)] == [np.shape(xs[i]) for i in case.wrt] * 2
    return value, first, second


def reason(error):
    """An exception in one line, the same on every machine."""
    text = re.sub(r"0x[0-9a-f]+|/\S+", "...", next(iter(str(error).strip().splitlines()), ""))
    return f"{type(error).__name__}: {text[:100]}".rstrip(": ")


def record(name):
    oracle = ORACLES[name]()
    lines, missing = {}, {}
    for case in TABLE:
        try:
            value, first, second = expressed(case, oracle)
        except Exception as error:
            missing[case.name] = reason(error)
        else:
            lines[case.name] = [fingerprint(case), list(value.shape), projected(value),
                                [projected(g) for g in first], [projected(g) for g in second]]
    made_with = {package: version(package) for package in ("numpy", *oracle.packages)}
    header = {"made with": {"python": platform.python_version(), **made_with},
              "a line is": "arguments, shape of the value, value, gradients, second derivatives"}
    path = HERE / f"{name}.json"
    path.write_text(text_of({**header, "lines": lines, "not expressed": missing}))
    print(f"{path.name}: {len(lines)} of {len(TABLE)} lines, {path.stat().st_size / 1000:.0f} kB")
    for line, why in missing.items():
        print(f"  {line:<28} {why}")


def text_of(recording):
    """JSON with a line per line of the table."""
    def block(value):
        if not isinstance(value, dict):
            return json.dumps(value)
        rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n }"
    return "{\n" + ",\n".join(f" {json.dumps(k)}: {block(v)}" for k, v in recording.items()) + "\n}\n"


if __name__ == "__main__":
    for name in sys.argv[1:] or ORACLES:
        record(name)
