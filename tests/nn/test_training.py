"""fit: what it learns, records, shows; and how it ends when it does not go well."""

import builtins
import json
import os
import signal
import sys

import numpy as np
import pytest

import autodiff as ad
import nn

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3


def fit(model=None, lr=0.1, loss_fn=None, **options):
    model = model or nn.Linear(3, 1, rng=0)
    options = dict(data=(X, Y), epochs=5, progress=False, rng=0) | options
    data, epochs = options.pop("data"), options.pop("epochs")
    optimizer = nn.optim.SGD(model.parameters(), lr=lr)
    return model, nn.fit(model, loss_fn or nn.MSELoss(), data, optimizer, epochs, **options)


def test_it_learns():
    model, history = fit(epochs=60, batch_size=10)
    assert np.allclose(model.weight.data, [[1.0, -2.0, 0.5]], atol=1e-4)
    assert model.bias.data == pytest.approx(0.3, abs=1e-4)
    assert history.train_loss[-1] < 1e-6 < history.train_loss[0]
    assert len(history) == len(history.seconds) == 60


def test_a_full_batch_is_plain_gradient_descent():
    model, history = fit(epochs=3)
    W, b = nn.Linear(3, 1, rng=0).weight.data.copy(), np.zeros(1)
    for epoch in range(3):
        r = X @ W.T + b - Y
        assert history.train_loss[epoch] == pytest.approx((r ** 2).mean(), rel=1e-12)
        W, b = W - 0.1 * 2 * (r.T @ X) / 50, b - 0.1 * 2 * r.mean()
    assert np.allclose(model.weight.data, W, rtol=1e-12)


def test_the_seed_decides():
    weights = [fit(batch_size=8, rng=seed)[0].weight.data for seed in (1, 1, 2)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    ad.seed(4)
    first = fit(batch_size=8, rng=None)[0].weight.data
    ad.seed(4)
    assert np.array_equal(first, fit(batch_size=8, rng=None)[0].weight.data)
    assert np.array_equal(fit(batch_size=8, rng=np.random.default_rng(1))[0].weight.data, weights[0])


def test_every_epoch_sees_every_sample_once_and_the_last_batch_is_smaller():
    seen = []

    class Watch(nn.Linear):
        def forward(self, x):
            seen.append(np.asarray(x))
            return super().forward(x)
    x = np.arange(10.0)[:, None]
    fit(Watch(1, 1, rng=0), lr=1e-9, data=(x, x), batch_size=4, epochs=2)
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(seen[:3])[:, 0], np.concatenate(seen[3:])[:, 0]
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    seen.clear()
    fit(Watch(1, 1, rng=0), lr=1e-9, data=(x, x), batch_size=4, epochs=1, shuffle=False)
    assert np.concatenate(seen)[:, 0].tolist() == list(range(10))


def test_the_epochs_loss_weighs_batches_by_their_size():
    losses = []

    def watched(prediction, target):
        loss = nn.functional.mse_loss(prediction, target)
        losses.append((len(target), float(loss.data)))
        return loss
    _, history = fit(loss_fn=watched, batch_size=30, epochs=1)
    assert [n for n, _ in losses] == [30, 20]
    assert history.train_loss == [pytest.approx(sum(n * loss for n, loss in losses) / 50, rel=1e-14)]


def test_validation_and_metrics_after_each_epoch():
    held_out = (X[:5], Y[:5])
    model, history = fit(data=(X[5:], Y[5:]), validation=held_out,
                         metrics={"worst": lambda p, y: abs(p - y).max(), "type": lambda p, y: type(p) is np.ndarray})
    residual = X[:5] @ model.weight.data.T + model.bias.data - Y[:5]
    assert history.validation_loss[-1] == pytest.approx((residual ** 2).mean(), rel=1e-12)
    assert history.metrics["worst"][-1] == pytest.approx(abs(residual).max(), rel=1e-12)
    assert history.metrics["type"] == [1.0] * 5
    _, history = fit(metrics={"n": lambda p, y: len(p)})        # without validation data on the training data
    assert (history.metrics["n"], history.validation_loss) == ([50.0] * 5, [])


def test_large_data_are_evaluated_in_pieces():
    x = np.ones((10_000, 1))
    sizes = []

    class Watch(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)
    model, history = fit(Watch(1, 1, rng=0), data=(x[:2], x[:2]), validation=(x, x), epochs=1,
                         metrics={"n": lambda p, y: len(p)})
    assert max(sizes) < 5000
    assert history.metrics["n"] == [10_000]
    assert history.validation_loss[0] == pytest.approx((model(x[:1]).data.item() - 1) ** 2, rel=1e-12)


def test_modes_are_set_and_restored_and_validation_records_nothing():
    modes = []

    class Watch(nn.Module):
        def forward(self, x):
            modes.append((self.training, (ad.Tensor(1.0, requires_grad=True) * 2).requires_grad))
            return x
    model = nn.Sequential(nn.Linear(3, 1), Watch(), nn.Dropout(0.5)).eval()
    model[2].train()
    fit(model, epochs=1, validation=(X, Y))
    assert modes == [(True, True), (False, False)]
    assert [m.training for m in model] == [False, False, True]
    assert not model.training


def test_tensors_are_data_too():
    a, _ = fit(batch_size=8)
    b, _ = fit(batch_size=8, data=(ad.Tensor(X), ad.Tensor(Y)))
    assert np.array_equal(a.weight.data, b.weight.data)


@pytest.mark.parametrize(("options", "error", "message"), [
    (dict(data=(X, Y[:-1])), ad.ShapeError, r"data: samples of shape \(50, 3\) and targets of shape \(49, 1\)"),
    (dict(validation=(X, Y[:-1])), ad.ShapeError, "validation: samples"),
    (dict(data=(X[:0], Y[:0])), ad.ShapeError, "no samples"),
    (dict(data=X), ad.OperandError, "a pair .samples, targets., not ndarray"),
    (dict(data=(X, Y, X)), ad.OperandError, "not tuple of 3"),
    (dict(batch_size=0), ValueError, "batch_size=0"),
    (dict(epochs=-1), ValueError, "epochs=-1"),
    (dict(loss_fn=nn.MSELoss("none")), ad.GradientError, r"returned shape \(50, 1\); did you mean reduction='mean'"),
    (dict(loss_fn=lambda p, y: 1.0), ad.GradientError, "scalar Tensor, and returned float"),
], ids=["length", "validation", "empty", "no pair", "triple", "batch", "epochs", "no mean", "no tensor"])
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        fit(**options)


# ---- when it does not go well

@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_a_loss_that_is_not_finite_stops_before_the_update():
    model = nn.Linear(3, 1, rng=0)
    x = X.copy()
    x[33, 0] = np.nan
    steps = []

    class Counting(nn.optim.SGD):
        def step(self):
            super().step()
            steps.append(model.state_dict())
    optimizer = Counting(model.parameters(), lr=0.125)
    with pytest.raises(nn.NonFiniteError, match=r"epoch 1, batch 4: the loss is nan, .* rate 0\.125.*\n.*tenth"):
        nn.fit(model, nn.MSELoss(), (x, Y), optimizer, 3, batch_size=10, shuffle=False, progress=False)
    assert len(steps) == 3
    assert all(np.array_equal(steps[-1][path], array) for path, array in model.state_dict().items())
    assert model.training


@pytest.mark.filterwarnings("ignore:divide", "ignore:invalid")
def test_a_gradient_that_is_not_finite_stops_before_the_update():
    model = nn.Linear(1, 1, bias=False, rng=0)
    model.weight.data = np.zeros((1, 1))
    with pytest.raises(nn.NonFiniteError, match="epoch 1, batch 1: the loss is 0, but the gradient of weight is not"):
        fit(model, data=(np.ones((2, 1)), np.ones((2, 1))), loss_fn=lambda p, y: np.sqrt(p).sum())
    assert model.weight.data.tolist() == [[0.0]]


def test_a_large_finite_gradient_is_none_of_that():
    model = nn.Linear(1, 1, bias=False, rng=0)
    with np.errstate(over="ignore"):
        fit(model, lr=1e-300, data=(np.full((1, 1), 1e200), np.ones((1, 1))), loss_fn=lambda p, y: p.sum(), epochs=1)
    assert np.isfinite(model.weight.data).all()


def test_ctrl_c_keeps_what_was_learnt(capsys):
    def stop(prediction, target):
        stop.calls += 1
        if stop.calls == 3:
            raise KeyboardInterrupt
        return 0.0
    stop.calls = 0
    model, history = fit(metrics={"stop": stop})
    assert history.interrupted
    assert len(history) == len(history.metrics["stop"]) == len(history.seconds) == 2
    assert "interrupted in epoch 3 of 5: the model keeps" in capsys.readouterr().err
    assert repr(history).endswith("interrupted in epoch 3")
    assert np.array_equal(model.weight.data, fit(epochs=3)[0].weight.data)
    assert model.weight.grad is None


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_within_a_step_waits_for_its_end(capsys):
    model = nn.MLP([3, 4, 1], output="regression", rng=0)
    before = model.state_dict()

    class Interrupted(nn.optim.SGD):
        def step(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10_000):                             # time for Python to notice
                pass
            super().step()
    history = nn.fit(model, nn.MSELoss(), (X, Y), Interrupted(model.parameters(), lr=0.1), 5, progress=False)
    assert history.interrupted
    assert len(history) == 0
    assert not any(np.array_equal(before[path], array) for path, array in model.state_dict().items())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_elsewhere_interrupts_at_once_and_changes_nothing():
    model = nn.Linear(3, 1, rng=0)
    before = model.state_dict()

    def loss_fn(prediction, target):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10_000):
            pass
        raise AssertionError("not interrupted")
    _, history = fit(model, loss_fn=loss_fn)
    assert history.interrupted
    assert all(np.array_equal(before[path], array) for path, array in model.state_dict().items())


# ---- progress and history

def test_progress_goes_to_standard_error(capsys):
    fit(progress=True, epochs=3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3/3" in captured.err
    assert "train_loss" in captured.err
    fit()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def without(monkeypatch):
    """Make an optional library look as if it were not installed."""
    real = builtins.__import__

    def without(missing):
        def imported(name, *args, **keywords):
            if name.partition(".")[0] == missing:
                raise ImportError(name)
            return real(name, *args, **keywords)
        monkeypatch.setattr(builtins, "__import__", imported)
        for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
            monkeypatch.delitem(sys.modules, name)
    return without


@pytest.mark.parametrize(("epochs", "lines"), [(3, 3), (1000, 21)], ids=["few", "many"])
def test_without_tqdm_a_readable_number_of_lines(epochs, lines, capsys, without):
    without("tqdm")
    fit(progress=True, epochs=epochs, data=(X[:2], Y[:2]), lr=1e-3)
    err = capsys.readouterr().err.splitlines()
    assert len(err) == lines
    assert err[0].startswith(f"epoch 1/{epochs}: train_loss ")
    assert err[-1].startswith(f"epoch {epochs}/{epochs}: ")


def test_history_is_a_table_and_a_dict():
    history = nn.History([0.5, 0.25], [0.6, 0.3], {"accuracy": [0.5, 1.0]}, [0.01, 0.02])
    assert repr(history) == "\n".join(["epoch  train_loss  validation_loss  accuracy  seconds",
                                       "    1         0.5              0.6       0.5     0.01",
                                       "    2        0.25              0.3         1     0.02"])
    assert json.loads(json.dumps(history.to_dict())) == {
        "train_loss": [0.5, 0.25], "validation_loss": [0.6, 0.3], "metrics": {"accuracy": [0.5, 1.0]},
        "seconds": [0.01, 0.02], "interrupted": False}
    long = repr(nn.History([0.1] * 100, [], {}, [0.1] * 100)).splitlines()
    assert len(long) == 12
    assert long[6].split() == ["..."] * 3
    assert long[-1].split()[0] == "100"
    assert repr(nn.History()) == "epoch"


def test_history_plots(tmp_path):
    history = nn.History([0.5, 0.25], [0.6, 0.3], {"accuracy": [0.5, 1.0]}, [0.01, 0.02])
    figure = history.plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 1000
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.5, 0.25]
    assert len(nn.History([1.0]).plot().axes) == 1


def test_plotting_without_matplotlib_says_how_to_get_it(without):
    without("matplotlib")
    with pytest.raises(ImportError, match="python -m pip install matplotlib"):
        nn.History([1.0]).plot()


def test_the_notes_model_learns_by_fit():
    x = rng.normal(size=(200, 4))
    y = (x[:, :1] * x[:, 1:2] > 0).astype(float)
    model = nn.MLP([4, 16, 8, 1], activation="tanh", rng=0)
    history = nn.fit(model, model.loss_fn, (x, y), nn.optim.Adam(model.parameters(), lr=0.02), 60, batch_size=32, rng=0,
                     metrics={"accuracy": lambda p, y: ((p > 0.5) == y).mean()}, progress=False)
    assert history.metrics["accuracy"][-1] > 0.95
