"""What is said of Jacobians holds of their numbers: for every operation, and for what is written."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.derivation.notation import evaluate
from autodiff.derivation.structure import composed, structure
from tests.derivation import models
from tests.table import TABLE


def one_element_per(matrix, axis):
    return (np.count_nonzero(matrix, axis=axis) <= 1).all()


def off_diagonal(matrix):
    return matrix - np.diag(np.diag(matrix))


HOLDS = {
    "identity": lambda J, y: J.shape[0] == J.shape[1] and np.array_equal(J, np.eye(len(J))),
    "scalar": lambda J, y: J.shape[0] == J.shape[1] and np.allclose(J, J[0, 0] * np.eye(len(J)), rtol=1e-14, atol=0),
    "diagonal": lambda J, y: J.shape[0] == J.shape[1] and not off_diagonal(J).any(),
    "permutation": lambda J, y: one_element_per(J, 0) and one_element_per(J, 1) and set(J.flat) <= {0, 1},
    "selection": lambda J, y: one_element_per(J, 1) and set(J.flat) <= {0, 1},
    "placement": lambda J, y: one_element_per(J, 0) and one_element_per(J, 1) and set(J.flat) <= {0, 1},
    "broadcast": lambda J, y: one_element_per(J, 1),
    "reduction": lambda J, y: one_element_per(J, 0),
    "gradient": lambda J, y: J.shape[0] == 1,
    "dense": lambda J, y: True,
    "one-hot outer": lambda J, y: True,
    "triangular": lambda J, y: True,
}
NUMERIC = [case for case in TABLE if case.wrt]


def numeric(r, i, x):
    """The Jacobian of one recorded operation, by the tape, as a matrix."""
    y = ad.jacobian(lambda z: r.op(*[z if k == i else v.value if isinstance(v, ad.record.Record) else v
                                     for k, v in enumerate(r.inputs)], **r.options))(x.value)
    return np.reshape(y, (np.size(r.value), np.size(x.value)))


@pytest.mark.parametrize("case", NUMERIC, ids=str)
def test_every_operation(case):
    arrays = case.arrays()
    tensors = [ad.Tensor(a, requires_grad=True) if i in case.wrt else a for i, a in enumerate(arrays)]
    y = case.f(np, *tensors)
    for r in (r for part in (y if isinstance(y, tuple | list) else [y]) if isinstance(part, ad.Tensor)
              for r in ad.Tape(part)):
        if isinstance(r.value, tuple) or r.value.dtype.kind != "f" or not r.requires_grad:
            continue
        for i, x in enumerate(r.inputs):
            fits = isinstance(x, ad.record.Record) and x.requires_grad and not isinstance(x.value, tuple) \
                and x.value.dtype.kind == "f"
            if not fits or r.op.together is not None:
                continue
            kind = structure(r, i, {})
            J = numeric(r, i, x)
            if kind == "diagonal plus rank one":
                continue                    # below
            assert HOLDS[kind](J, r.value), (r, i, kind)


@pytest.mark.parametrize(("f", "corner"), [(ad.softmax, np.diag), (ad.log_softmax, lambda y: np.eye(y.size))])
def test_diagonal_plus_rank_one(f, corner):
    z = models.numbers(5)
    J = ad.jacobian(f)(z)
    rest = J - corner(f(z))
    assert np.linalg.matrix_rank(rest, tol=1e-12) == 1
    t = ad.Tensor(z, requires_grad=True)
    assert structure(f(t).record, 0, {}) == "diagonal plus rank one"


@pytest.mark.parametrize("seed", range(40))
def test_products_of_structures(seed):
    """A structure given to a product of two Jacobians holds of it: of its pattern, where that is all it says."""
    rng = np.random.default_rng(seed)

    def drawn(kind, rows, columns):
        full = np.zeros((rows, columns))
        if kind == "identity":
            return np.eye(rows)
        if kind == "scalar":
            return rng.normal() * np.eye(rows)
        if kind == "diagonal":
            return np.diag(rng.normal(size=rows))
        if kind == "permutation":
            return np.eye(rows)[rng.permutation(rows)]
        if kind == "selection":
            full[np.arange(rows), rng.integers(0, columns, rows)] = 1
        elif kind == "placement":
            full[rng.permutation(rows)[:columns], np.arange(columns)] = 1
        elif kind == "broadcast":
            full[np.arange(rows), rng.integers(0, columns, rows)] = rng.normal(size=rows)
        elif kind == "reduction":
            full[rng.integers(0, rows, columns), np.arange(columns)] = rng.normal(size=columns)
        elif kind == "gradient":
            full = rng.normal(size=(1, columns))
        return full

    sizes = {"identity": (4, 4), "scalar": (4, 4), "diagonal": (4, 4), "permutation": (4, 4), "selection": (4, 4),
             "broadcast": (4, 4), "reduction": (4, 4), "gradient": (1, 4), "placement": (4, 4)}
    square = [kind for kind in sizes if kind != "gradient"]
    for outer in sizes:
        for inner in square:
            kind = composed(outer, inner)
            J = drawn(outer, *sizes[outer]) @ drawn(inner, *sizes[inner])
            if kind is not None:
                pattern = kind in ("permutation", "selection", "placement")
                assert HOLDS[kind](np.where(J != 0, 1, 0) if pattern else J, None), (outer, inner, kind)


@pytest.mark.parametrize("model", [models.single_column, models.single_row, models.unit_vector, models.own_operation],
                         ids=lambda model: model.__name__)
def test_what_is_written_is_the_jacobian(model):
    """Of nets of one sample each written matrix is worked out and compared."""
    loss, _ = model()
    tape = ad.Tape(loss)
    compared = 0
    for wrt in [r for r in tape.leaves if r.requires_grad]:
        d = ad.derive(loss, ad.Tensor.of(wrt), simplify=False)
        heads = {d.derived.graph.names[r]: r for r in d.derived.graph.heads}
        for step in d.steps:
            for j in step.jacobians:
                h, x = heads[step.name], heads[j.wrt]
                if j.structure in ("one-hot outer", "identity", "scalar") or j.written is None or j.per:
                    continue
                between = [r for r in tape if r in set(d.derived.graph.inner[h])]
                numbers = evaluate(j.written, d.derived.values)
                J = chained(between, h, x)
                np.testing.assert_allclose(np.reshape(np.broadcast_to(numbers, numbers.shape), J.shape), J,
                                           rtol=1e-9, atol=1e-12)
                compared += 1
    assert compared >= 2


def chained(between, h, x):
    """The Jacobian of one step, by running its operations again."""
    def step(value):
        held = {x: value}
        for r in between:
            inputs = [held.get(v, v.value) if isinstance(v, ad.record.Record) else v for v in r.inputs]
            held[r] = r.op(*inputs, **r.options)
        return held[h]

    return np.reshape(ad.jacobian(step)(x.value), (np.size(h.value), np.size(x.value)))


def test_samples_mix_in_batch_norm_and_not_in_layer_norm():
    d = ad.derive(models.batch_norm()[0], "W", simplify=False)
    per = {(step.name, j.wrt): j.per for step in d.steps for j in step.jacobians}
    assert per["mu", "z"] == "element" and per["zhat", "z"] == "sample"
    assert not d.cost().per_sample
    e = ad.derive(models.layer_norm()[0], "W", simplify=False)
    assert all(j.per == "sample" for step in e.steps for j in step.jacobians if step.name != "loss")
    assert e.cost().per_sample


def test_attention_acts_on_rows_and_columns():
    d = ad.derive(models.attention()[0], "W_K")
    found = {(step.name, j.wrt): (j.structure, j.per, j.shape) for step in d.steps for j in step.jacobians}
    assert found["O", "P"] == ("dense", "row", (4, 5))
    assert found["P", "S"] == ("diagonal plus rank one", "row", (5, 5))
    assert found["S", "K"] == ("dense", "column", (5, 4))
