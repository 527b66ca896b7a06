"""grad, vjp, jvp, jacobian, hessian, hvp: values, structure, nesting, higher orders."""

import asyncio
import threading
from typing import NamedTuple

import numpy as np
import pytest

import autodiff as ad

# ---- semantics written in API.md

def test_perturbations_are_not_confused():
    grad = ad.grad
    assert grad(lambda x: grad(lambda y: x * y**2)(1.0))(5.0) == 2.0
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(3.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(3.0) == 54.0
    assert grad(lambda x: grad(lambda x: x * x)(x) * x)(3.0) == 12.0
    inner = lambda x: ad.jvp(lambda y: x * y, (1.0,), (1.0,))[1]                     # forward inside reverse
    assert grad(lambda x: x * inner(x))(3.0) == 6.0
    assert ad.jvp(lambda x: x * grad(lambda y: x * y)(1.0), (3.0,), (1.0,))[1] == 6.0
    assert ad.jvp(lambda x: x * ad.jvp(lambda y: x * y * y, (x,), (1.0,))[1], (3.0,), (1.0,))[1] == 54.0


def test_results_are_arrays_unless_something_outside_is_tracked():
    w = ad.Tensor(3.0, requires_grad=True)
    assert not isinstance(ad.grad(lambda x: x * x)(2.0), ad.Tensor)
    inside = ad.grad(lambda x: w * x * x)(2.0)
    assert isinstance(inside, ad.Tensor)
    inside.backward()
    assert w.grad == 4.0
    with ad.no_grad():
        assert not isinstance(ad.grad(lambda x: w * x * x)(2.0), ad.Tensor)
    value, g = ad.value_and_grad(lambda x: w * x)(2.0)
    assert isinstance(value, ad.Tensor)
    assert isinstance(g, ad.Tensor)
    w2 = ad.Tensor(1.0, requires_grad=True)
    result = ad.grad(lambda x: x * x + w2.detach())(2.0)
    assert not isinstance(result, ad.Tensor)
    assert w2.grad is None


def test_a_gradient_inside_a_loss_trains():
    """A gradient penalty: ∂/∂w (∂f/∂x)² with f = w x³."""
    w = ad.Tensor(2.0, requires_grad=True)
    slope = ad.grad(lambda x: w * x**3)(1.5)
    (slope**2).backward()
    assert w.grad == pytest.approx(2 * 2.0 * (3 * 1.5**2) ** 2, rel=1e-15)


def test_structures():
    class Pair(NamedTuple):
        a: object
        b: object

    def f(p):
        return (p["w"][0] * p["w"][1]).sum() + p["t"].a * p["t"].b**2

    p = {"w": [np.ones(2), np.arange(2.0)], "t": Pair(2.0, 3.0), "none": None}
    g = ad.grad(f)(p)
    assert list(g) == ["w", "t", "none"]
    assert np.array_equal(g["w"][0], [0.0, 1.0])
    assert (g["t"].a, g["t"].b, g["none"]) == (9.0, 12.0, None)
    assert isinstance(g["t"], Pair)
    H = ad.hessian(lambda q: q["a"] * q["b"] ** 2)({"a": 2.0, "b": 3.0})
    assert (H["a"]["a"], H["a"]["b"], H["b"]["a"], H["b"]["b"]) == (0.0, 6.0, 6.0, 4.0)


def test_argnums_aux_and_keywords():
    def f(x, y, *, scale):
        return (x * y).sum() * scale, {"y": y, "note": "kept"}

    g, aux = ad.grad(f, argnums=1, has_aux=True)(np.ones(2), np.arange(2.0), scale=3.0)
    assert np.array_equal(g, [3.0, 3.0])
    assert aux["note"] == "kept"
    assert isinstance(aux["y"], np.ndarray)
    (value, _), (gx, gy) = ad.value_and_grad(f, argnums=(0, 1), has_aux=True)(np.ones(2), np.arange(2.0), scale=1.0)
    assert value == 1.0
    assert np.array_equal(gx, [0.0, 1.0])
    assert np.array_equal(gy, [1.0, 1.0])
    assert ad.grad(lambda x, y: x * y, argnums=-1)(2.0, 3.0) == 2.0
    with pytest.raises(ad.OperandError, match="argnums=2, but .* 1 positional"):
        ad.grad(lambda x: x, argnums=2)(1.0)


def test_other_arguments_are_passed_as_given():
    seen = []
    ad.grad(lambda x, a, b: seen.extend([a, b]) or x * 1.0)(1.0, a := np.ones(2), "text")
    assert seen[0] is a
    assert seen[1] == "text"


def test_grad_of_a_tensor_argument_leaves_grad_alone():
    W = ad.Tensor([1.0, 2.0], requires_grad=True)
    g = ad.grad(lambda W: (W**2).sum())(W)
    assert isinstance(g, ad.Tensor)                  # W is tracked outside
    assert W.grad is None
    (g * g).sum().backward()
    assert np.array_equal(W.grad, [8.0, 16.0])


def test_functions_that_do_not_depend_on_their_argument():
    assert ad.grad(lambda x: 3.0)(2.0) == 0.0
    assert np.array_equal(ad.grad(lambda x: np.floor(x).sum())(np.ones(2)), [0.0, 0.0])
    assert np.array_equal(ad.jacobian(lambda x: np.ones(3))(np.ones(2)), np.zeros((3, 2)))
    assert ad.jvp(lambda x: 3.0, (1.0,), (1.0,))[1] == 0.0
    value, pullback = ad.vjp(lambda x: np.ones(2), np.ones(3))
    assert np.array_equal(pullback(np.ones(2))[0], np.zeros(3))


def test_errors():
    with pytest.raises(ad.GradientError, match=r"scalar; this one returned shape \(2,\).*jacobian"):
        ad.grad(lambda x: x * 2)(np.ones(2))
    with pytest.raises(ad.GradientError, match="returned NoneType"):
        ad.grad(lambda x: None)(1.0)
    with pytest.raises(ad.OperandError, match="cannot require grad"):
        ad.grad(lambda x: x)(np.arange(3))
    with pytest.raises(ad.ShapeError, match="x, a primal, has shape"):
        ad.jvp(lambda x: x, (np.ones(2),), (np.ones(3),))
    with pytest.raises(ad.ShapeError, match="cotangent"):
        ad.vjp(lambda x: x, np.ones(2))[1](np.ones(3))
    for leak in (bool, float, int, ad.Tensor.item):
        with pytest.raises(ad.TracedValueError, match=r"inside ad.grad[\s\S]*np.where"):
            ad.grad(lambda x, leak=leak: x * 2.0 if leak(x) else x)(1.0)
    assert f"{ad.grad(lambda x: (str(x), x * 2.0)[1])(1.0)}" == "2.0"                # printing is no leak
    assert float(ad.Tensor(2.0, requires_grad=True)) == 2.0                          # and outside it is allowed


# ---- values

def test_vjp_of_structures_and_again():
    value, pullback = ad.vjp(lambda x, y: {"p": x * y, "s": x.sum()}, np.ones(2), np.arange(2.0))
    assert np.array_equal(value["p"], [0.0, 1.0])
    for _ in range(2):
        gx, gy = pullback({"p": np.array([1.0, 10.0]), "s": 100.0})
        assert np.array_equal(gx, [100.0, 110.0])
        assert np.array_equal(gy, [1.0, 10.0])
    gx, _ = ad.vjp(lambda x, y: (x, x), np.ones(2), 1.0)[1]((np.ones(2), 2 * np.ones(2)))   # one output twice
    assert np.array_equal(gx, [3.0, 3.0])


def test_jacobian_shapes():
    J = ad.jacobian(lambda A: A @ A.T)(np.arange(6.0).reshape(2, 3))
    assert J.shape == (2, 2, 2, 3)
    A = np.arange(6.0).reshape(2, 3)
    expected = np.einsum("ik,jl->ijkl", np.eye(2), A) + np.einsum("jk,il->ijkl", np.eye(2), A)
    assert np.array_equal(J, expected)
    two = ad.jacobian(lambda x, y: x * y, argnums=(0, 1))(np.ones(2), np.arange(2.0))
    assert np.array_equal(two[0], np.diag([0.0, 1.0]))
    nested = ad.jacobian(lambda p: (p["a"] * 2, p["a"].sum()))({"a": np.ones(2)})
    assert np.array_equal(nested[0]["a"], 2 * np.eye(2))
    assert np.array_equal(nested[1]["a"], np.ones(2))


@pytest.mark.parametrize("x", [0.3, 1.7])
def test_all_orders_of_a_closed_form(x):
    f = lambda x: x**3 * np.exp(x)
    d = [ad.grad(f), ad.grad(ad.grad(f)), ad.grad(ad.grad(ad.grad(f)))]
    e = np.exp(x)
    closed_forms = [e * (x**3 + 3 * x**2), e * (x**3 + 6 * x**2 + 6 * x), e * (x**3 + 9 * x**2 + 18 * x + 6)]
    for got, closed in zip(d, closed_forms):
        assert got(x) == pytest.approx(closed, rel=1e-14)


def test_mixed_third_derivative():
    """∂³/∂x∂y∂z of sin-free f = exp(x y) z³ / (1 + x)."""
    f = lambda x, y, z: np.exp(x * y) * z**3 / (1 + x)
    fxyz = ad.grad(ad.grad(ad.grad(f, 2), 1), 0)
    x, y, z = 0.7, 0.4, 1.3
    # ∂z: 3z² e^{xy}/(1+x);  ∂y: x times that;  ∂x: 3z² e^{xy} [ (1 + x y)(1 + x) − x ] / (1+x)²
    closed = 3 * z**2 * np.exp(x * y) * ((1 + x * y) * (1 + x) - x) / (1 + x) ** 2
    assert fxyz(x, y, z) == pytest.approx(closed, rel=1e-14)


def test_hessian_is_symmetric_and_hvp_is_its_product():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6).astype(float)

    def loss(w):
        return ad.binary_cross_entropy_with_logits(X @ w, y).mean()

    w, v = rng.normal(size=3), rng.normal(size=3)
    H = ad.hessian(loss)(w)
    p = 1 / (1 + np.exp(-X @ w))
    assert np.allclose(H, X.T @ (X * (p * (1 - p))[:, None]) / 6, rtol=1e-13)
    assert np.allclose(H, H.T, rtol=0, atol=1e-16)
    assert np.allclose(ad.hvp(loss, (w,), (v,))[0], H @ v, rtol=1e-13)
    ((hw, hb),) = ad.hvp(lambda p: (p[0] @ v * p[1]).sum(), ((w, 2.0),), ((v, 1.0),))
    assert np.allclose(hw, v)
    assert hb == pytest.approx(v @ v)


def test_gradient_penalty_against_its_closed_form():
    """L = mean over samples of (‖∂u/∂x‖ − 1)² for u = tanh(x·w): ∂L/∂w by hand."""
    rng = np.random.default_rng(1)
    w0, x = rng.normal(size=3), rng.normal(size=(5, 3))
    w = ad.Tensor(w0, requires_grad=True)
    g = ad.grad(lambda x: np.tanh(x @ w).sum())(x)
    penalty = ((np.sqrt((g * g).sum(axis=1)) - 1) ** 2).mean()
    [dw] = ad.gradients(penalty, [w])
    t = np.tanh(x @ w0)
    s, norm = 1 - t**2, np.linalg.norm(w0)
    dnorm = np.outer(s, w0 / norm) + norm * (-2 * t * s)[:, None] * x           # ∂(s‖w‖)/∂w, a row per sample
    assert np.allclose(dw, (2 * (s * norm - 1)[:, None] * dnorm).mean(axis=0), rtol=1e-12)


def test_a_physics_informed_loss():
    """u = a e^{−b t}; the residual of u'' + k u' = 0 is (b² − k b) u, so its square's gradients are known."""
    a, b = ad.Tensor(1.5, requires_grad=True), ad.Tensor(0.7, requires_grad=True)
    t, k = np.linspace(0, 1, 5), 0.3

    def u(t):
        return a * np.exp(-b * t)

    du = ad.grad(lambda t: u(t).sum())
    ddu = ad.grad(lambda t: du(t).sum())
    residual = ddu(t) + k * du(t)
    loss = (residual**2).sum()
    ga, gb = ad.gradients(loss, [a, b])
    A, B = 1.5, 0.7
    U, R = A * np.exp(-B * t), (B**2 - k * B)
    assert np.allclose(residual.data, R * U, rtol=1e-13)
    assert ga == pytest.approx(np.sum(2 * R**2 * U**2) / A, rel=1e-12)
    assert gb == pytest.approx(np.sum(2 * R * U * ((2 * B - k) * U - R * t * U)), rel=1e-12)


def test_third_order_through_recorded_gradients():
    x = ad.Tensor(0.8, requires_grad=True)
    y = np.exp(x) * np.tanh(x)
    found = y
    for _ in range(3):
        [found] = ad.gradients(found, [x], record=True)
    h = 1e-3
    f2 = lambda v: ad.grad(ad.grad(lambda u: np.exp(u) * np.tanh(u)))(v)
    central = (8 * (f2(0.8 + h) - f2(0.8 - h)) - (f2(0.8 + 2 * h) - f2(0.8 - 2 * h))) / (12 * h)
    assert found.item() == pytest.approx(central, rel=1e-10)


# ---- context-local state

def test_threads_do_not_see_each_others_settings():
    seen = {}
    started, release = threading.Event(), threading.Event()

    def other():
        started.wait()
        x = ad.Tensor(2.0, requires_grad=True)
        seen["recorded"] = (x * x).requires_grad
        seen["scope"] = (x * x).scope
        release.set()

    thread = threading.Thread(target=other)
    thread.start()
    with ad.no_grad(), ad.scope("here"):
        started.set()
        release.wait()
    thread.join()
    assert seen == {"recorded": True, "scope": ""}


def test_threads_train_side_by_side():
    results = {}

    def train(seed):
        rng = np.random.default_rng(seed)
        w = ad.Tensor(rng.normal(size=3), requires_grad=True)
        x = rng.normal(size=(20, 3))
        for _ in range(100):
            loss = ((x @ w - 1.0) ** 2).mean()
            loss.backward()
            with ad.no_grad():
                w -= 0.05 * w.grad
            w.grad = None
        results[seed] = w.numpy().copy()

    for seed in range(4):
        train(seed)
    alone = dict(results)
    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert np.array_equal(results[seed], alone[seed])


def test_asyncio_tasks_have_their_own_grad_mode():
    async def silent():
        with ad.no_grad():
            await asyncio.sleep(0.001)
            return ad.Tensor(1.0, requires_grad=True) * 2

    async def loud():
        await asyncio.sleep(0.0005)
        return ad.Tensor(1.0, requires_grad=True) * 2

    async def both():
        return await asyncio.gather(silent(), loud())

    quiet, recorded = asyncio.run(both())
    assert not quiet.requires_grad
    assert recorded.requires_grad


def test_settings_are_restored_after_errors_and_serve_as_decorators():
    x = ad.Tensor(1.0, requires_grad=True)
    with pytest.raises(RuntimeError), ad.no_grad():
        raise RuntimeError
    assert (x * 2).requires_grad

    @ad.no_grad()
    def constant(n):
        return constant(n - 1) if n else x * 2

    assert not constant(3).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError):
        ad.grad(lambda v: v / (1 // 0))(1.0)
    assert float(x) == 1.0                                    # no longer inside a transform


def test_seeds_are_context_local():
    first = ad.seed(0).normal()
    other = []
    thread = threading.Thread(target=lambda: other.append(ad.seed(1).normal()))
    thread.start()
    thread.join()
    assert ad.seed(0).normal() == first
    ad.seed(5)
    a = ad.dropout(np.ones(50), 0.5)
    ad.seed(5)
    assert np.array_equal(a, ad.dropout(np.ones(50), 0.5))
    with pytest.raises(ValueError, match="rate"):
        ad.dropout(np.ones(2), 1.0)
