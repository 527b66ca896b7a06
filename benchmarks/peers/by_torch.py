"""PyTorch: eager, with Adam(fused=True), and through torch.compile (inductor) with that."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import workloads
from benchmarks.workloads import BETA1, BETA2, EPSILON, A, B, Workload, X, chain, checksum, elements, lenet, perceptron

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


UNROLLED = 1000         # turns of a loop that torch.compile would unroll


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload. Adam alone has a fused form."""
    if variant == "fused":
        done = work.kind == "train" and not work.binary
    else:
        done = not variant or (work.kind != "epoch" and work.turns <= UNROLLED)
    return BUILDERS[work.kind](work, variant) if done else None


def compiled(f: Any, variant: str) -> Any:
    """The function, compiled if that is the variant."""
    return torch.compile(f) if variant == "compile" else f


def mlp(work: Workload) -> tuple[Any, list[Any], Callable[..., Any]]:
    """The perceptron's data, parameters and loss."""
    p = perceptron(work)
    parameters = [torch.from_numpy(v).requires_grad_() for v in p.W + p.b]
    L = len(p.W)

    def loss(parameters: list[Any], x: Any, y: Any) -> Any:
        a = x
        for i in range(L):
            z = torch.addmm(parameters[L + i], a, parameters[i])
            a = torch.sigmoid(z) if work.binary else torch.relu(z) if i < L - 1 else z
        return F.binary_cross_entropy(a, y) if work.binary else F.cross_entropy(a, y)
    return p, parameters, loss


def learning(loss_of: Any, parameters: list[Any], optimizer: Any) -> Callable[[Any, Any], Any]:
    """A training step on a batch."""
    def learn(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(parameters, x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()
    return learn


def training(learn: Callable[[Any, Any], Any], x: Any, y: Any) -> Callable[[int], float]:
    """Steps on one batch."""
    def step(k: int) -> float:
        for _ in range(k):
            loss = learn(x, y)
        return float(loss)
    return step


def train(work: Workload, variant: str) -> Callable[[int], float]:
    """w1 to w4."""
    p, parameters, loss = mlp(work)
    if work.binary:
        optimizer: Any = torch.optim.SGD(parameters, lr=work.lr)
    else:
        optimizer = torch.optim.Adam(parameters, lr=work.lr, betas=(BETA1, BETA2), eps=EPSILON,
                                     fused=True if variant else None)
    learn = learning(compiled(loss, variant), parameters, optimizer)
    return training(learn, torch.from_numpy(p.x), torch.from_numpy(p.y))


def epoch(work: Workload, variant: str) -> Callable[[int], float]:
    """w1epoch."""
    p, parameters, loss = mlp(work)
    learn = learning(loss, parameters, torch.optim.SGD(parameters, lr=work.lr))
    x, y = torch.from_numpy(p.x), torch.from_numpy(p.y)

    def step(k: int) -> float:
        for _ in range(k):
            total = sum(learn(x[i:i + 1], y[i:i + 1]) for i in range(len(x)))
        return float(total) / len(x)
    return step


def scalars(work: Workload, variant: str) -> Callable[[int], float]:
    """w5."""
    f = compiled(lambda x, a, b: workloads.scalars(x, a, b, torch.tanh, work.turns), variant)

    def step(k: int) -> float:
        for _ in range(k):
            x, a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (X, A, B))
            y = f(x, a, b)
            y.backward()
        return checksum(y.detach(), (x.grad, a.grad, b.grad))
    return step


def elementwise(work: Workload, variant: str) -> Callable[[int], float]:
    """w6."""
    x = torch.from_numpy(elements()).requires_grad_()
    f = compiled(lambda x: chain(x, torch.exp, torch.tanh, torch.sigmoid).sum(), variant)

    def step(k: int) -> float:
        for _ in range(k):
            x.grad = None
            y = f(x)
            y.backward()
        return checksum(y.detach(), [x.grad]) if k == 1 else 0.0
    return step


def conv(work: Workload, variant: str) -> Callable[[int], float]:
    """w7."""
    p = lenet()
    weights = [torch.from_numpy(w).requires_grad_() for w in p.weights]

    def loss(weights: list[Any], x: Any, y: Any) -> Any:
        k1, k2, f1, f2, f3 = weights
        h = F.max_pool2d(torch.relu(F.conv2d(x, k1, padding=2)), 2)
        h = F.max_pool2d(torch.relu(F.conv2d(h, k2)), 2).flatten(1)
        h = torch.relu(F.linear(torch.relu(F.linear(h, f1)), f2))
        return F.cross_entropy(F.linear(h, f3), y)

    learn = learning(compiled(loss, variant), weights, torch.optim.SGD(weights, lr=work.lr))
    return training(learn, torch.from_numpy(p.x), torch.from_numpy(p.y))


def hvp(work: Workload, variant: str) -> Callable[[int], float]:
    """w8: eager backward twice, compiled forward over backward, the faster of each."""
    p, parameters, loss = mlp(work)
    x, y = torch.from_numpy(p.x), torch.from_numpy(p.y)
    direction = [torch.from_numpy(v) for v in p.vW + p.vb]
    constants = [v.detach() for v in parameters]

    def twice(parameters: list[Any], direction: list[Any]) -> Any:
        gradients = torch.autograd.grad(loss(parameters, x, y), parameters, create_graph=True)
        return torch.autograd.grad(gradients, parameters, grad_outputs=direction)

    def forward_over_reverse(parameters: list[Any], direction: list[Any]) -> Any:
        return torch.func.jvp(torch.func.grad(lambda q: loss(q, x, y)), (parameters,), (direction,))[1]

    product = compiled(forward_over_reverse, variant) if variant else twice

    def step(k: int) -> float:
        for _ in range(k):
            h = product(constants if variant else parameters, direction)
        return checksum(0.0, h) if k == 1 else 0.0
    return step


BUILDERS = {"train": train, "epoch": epoch, "scalars": scalars, "elementwise": elementwise, "conv": conv, "hvp": hvp}
