"""Layers of convolution and pooling: values, keys, initial values, refusals, and all that reads a model."""

import numpy as np
import pytest
import scipy.signal

import autodiff as ad
import nn
import viz

F = nn.functional
rng = np.random.default_rng(0)
IMAGES, SERIES = rng.normal(size=(2, 4, 7, 6)), rng.normal(size=(2, 4, 9))


def small(dtype=np.float64):
    """A net of every kind of layer."""
    o = {"rng": 0, "dtype": dtype}
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, **o), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(2, 4, 2, groups=2, **o), nn.Tanh(), nn.AvgPool2d((1, 2)), nn.Flatten(),
                         nn.Linear(4 * 2 * 1, 3, **o))


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "dilation": 2}, {"padding": "same"},
                                     {"groups": 2, "bias": False}, {"padding": "valid"}], ids=str)
@pytest.mark.parametrize("dims", [1, 2])
def test_layers_are_the_functions(dims, options):
    x = (SERIES, IMAGES)[dims - 1]
    layer = (nn.Conv1d, nn.Conv2d)[dims - 1](4, 6, 2, rng=0, **options)
    function = (F.conv1d, F.conv2d)[dims - 1]
    plain = {k: v for k, v in options.items() if k != "bias"}
    b = None if layer.bias is None else layer.bias.data
    expected = function(x, layer.weight.data, b, **plain)
    assert isinstance(expected, np.ndarray)
    assert np.array_equal(layer(x).data, expected)
    assert layer.weight.shape == (6, 4 // options.get("groups", 1)) + (2,) * dims
    assert list(layer.state_dict()) == (["weight"] if b is None else ["weight", "bias"])
    assert all(f"{k}={v!r}" in repr(layer) for k, v in options.items() if k != "padding" or v != 0)


def test_values_against_scipy():
    w, b = rng.normal(size=(3, 4, 2, 3)), rng.normal(size=3)
    expected = [[scipy.signal.correlate(x, k, "valid")[0] + c for k, c in zip(w, b)] for x in IMAGES]
    assert np.allclose(F.conv2d(IMAGES, w, b), expected, rtol=1e-12)


@pytest.mark.parametrize(("layer", "function"), [
    (nn.MaxPool1d(2), lambda x: F.max_pool1d(x, 2)), (nn.AvgPool1d(3, 1), lambda x: F.avg_pool1d(x, 3, 1)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
    (nn.MaxPool2d((1, 2), dilation=2), lambda x: F.max_pool2d(x, [1, 2], dilation=2)),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False),
     lambda x: F.avg_pool2d(x, 2, padding=1, count_include_pad=False)),
    (nn.MaxPool2d(3, 1), lambda x: ad.max_pool(x, window=3, stride=1)),
], ids=range(6))
def test_pooling_layers_are_the_functions(layer, function):
    x = SERIES if "1d" in repr(layer) else IMAGES
    assert np.array_equal(layer(x), function(x))
    assert np.array_equal(layer(ad.Tensor(x)).data, function(x))
    assert list(layer.state_dict()) == []
    assert eval(f"nn.{layer!r}").extra_repr() == layer.extra_repr()


def test_options_at_their_defaults_are_not_repeated_on_the_tape():
    x, w = ad.Tensor(IMAGES, requires_grad=True), rng.normal(size=(4, 4, 2, 2))
    assert F.conv2d(x, w, stride=1, padding=0).record.options == {}
    assert F.conv2d(x, w, stride=[1, 2]).record.options == {"stride": (1, 2)}
    assert F.max_pool2d(x, 2, np.int64(1)).record.options == {"window": 2, "stride": 1}


def test_initial_values():
    """As for dense layers: normal of variance 2 / (n_in + n_out), each place of the window counted; biases zero."""
    layer = nn.Conv2d(30, 50, 5, rng=0)
    assert layer.weight.data.std() == pytest.approx(np.sqrt(2 / (25 * 80)), rel=0.01)
    assert not layer.bias.data.any()
    assert nn.Conv1d(1, 2, 3, dtype=np.float32, rng=0).weight.dtype == np.float32
    assert np.array_equal(nn.Conv2d(3, 4, 2, rng=5).weight.data, nn.Conv2d(3, 4, 2, rng=5).weight.data)
    assert nn.Conv2d(3, 4, 2, init=nn.init.zeros_).weight.data.any() == np.False_


@pytest.mark.parametrize(("make", "said"), [
    (lambda: nn.Conv2d(0, 4, 3), "sizes are positive, and 0"), (lambda: nn.Conv2d(3, 4, (3, 0)), "kernel_size"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "each of 2 axes"), (lambda: nn.Conv1d(3, 4, 3, groups=2), "into 2 groups"),
    (lambda: nn.MaxPool2d(0), "kernel_size=0"), (lambda: nn.AvgPool1d((2, 2)), "each of 1 axes"),
], ids=range(6))
def test_layers_that_cannot_be(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(("call", "said"), [
    (lambda: nn.Conv2d(1, 2, 3)(np.zeros((5, 28, 28))), r"takes x of shape \(samples, channels, height, width\)"),
    (lambda: nn.Conv2d(1, 2, 3)(np.zeros((5, 28, 28))), r"samples of one channel are x\[:, None\]"),
    (lambda: nn.Conv2d(1, 2, 3)(np.zeros((28, 28))), r"x\[None, None\]"),
    (lambda: nn.MaxPool1d(2)(np.zeros((1, 1, 4, 4))), r"channels, length\), and this has shape \(1, 1, 4, 4\)"),
    (lambda: nn.Conv2d(1, 2, 3)(np.zeros((1, 3, 8, 8))), "x has 3 channels .* the kernel expects 1"),
    (lambda: nn.Conv2d(1, 2, 9)(np.zeros((1, 1, 8, 8))), "a window of 9 is larger than x, 8 along axis 2"),
], ids=range(6))
def test_what_does_not_fit_names_the_callers_line(call, said):
    with pytest.raises(ad.ShapeError, match=said) as told:
        call()
    assert "test_convolution.py" in str(told.value)


def test_results_are_named_by_the_line_that_called_the_layer():
    layer = nn.Conv2d(1, 2, 3, rng=0)
    features = layer(np.zeros((1, 1, 5, 5)))
    smaller = nn.MaxPool2d(2)(features)
    assert (features.name, smaller.name) == ("features", "smaller")
    assert "test_convolution.py" in str(smaller.record.where)


def test_everything_that_reads_a_model():
    """Saved and loaded, printed, derived, drawn and checked."""
    model, x, y = small(), rng.normal(size=(3, 1, 6, 6)), np.array([0, 2, 1])
    assert list(model.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias", "7.weight", "7.bias"]
    other = small()
    other.load_state_dict(model.state_dict())
    loss = F.cross_entropy(model(x), y)
    assert F.cross_entropy(other(x), y).item() == loss.item()
    source = ad.source(loss)
    assert source.checked in ("within rounding", "to the last bit")
    assert "conv_weight(x, " in str(source)
    assert "import autodiff" not in str(source)
    assert "import nn" not in str(source)
    derivation = str(ad.derive(loss, model[0].weight))
    assert "conv_transpose" in derivation
    assert "a selection" in derivation
    assert "conv" in viz.draw(loss).dot
    assert "Conv2d(1, 2, kernel_size=3, padding=1)" in repr(model)
    first, rest = model[0], model[1:]
    ad.gradcheck(lambda w: F.cross_entropy(rest(F.conv2d(x, w, first.bias, padding=1)), y), first.weight.data.copy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_descent_lowers_the_loss(dtype):
    draws = np.random.default_rng(1)
    model, x, y = small(dtype), draws.normal(size=(8, 1, 6, 6)).astype(dtype), draws.integers(0, 3, 8)
    history = nn.fit(model, nn.CrossEntropyLoss(), (x, y), nn.optim.Adam(model.parameters(), lr=0.03), epochs=60,
                     rng=0, progress=False)
    assert history.train_loss[-1] < 0.2 * history.train_loss[0]
    assert all(p.dtype == dtype for p in model.parameters())
