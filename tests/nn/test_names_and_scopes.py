"""Layers speak the user's names and lines."""

import linecache
import sys

import numpy as np
import pytest

import autodiff as ad
import nn


def line():
    """The line of this file that calls."""
    return f"test_names_and_scopes.py:{sys._getframe(1).f_lineno}"


class Net(nn.Module):
    def __init__(self):
        self.hidden = nn.Linear(2, 3)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.Tanh())])
        self.blocks.append(nn.Linear(3, 1))

    def forward(self, x):
        z1 = self.hidden(x)
        a1 = nn.functional.sigmoid(z1)
        for block in self.blocks:
            a1 = block(a1)
        return a1


def tape_of_net():
    net = Net()
    x = ad.Tensor(np.ones((1, 2)))
    out = net(x)
    return ad.Tape(out)


def test_scopes_are_paths_of_attributes_below_the_class():
    assert [r.scope.path for r in tape_of_net()] == \
        ["Net.hidden", "Net", "Net.blocks.0.0", "Net.blocks.0.1", "Net.blocks.1"]
    assert [r.scope.kind for r in tape_of_net()] == ["Linear", "Net", "Linear", "Tanh", "Linear"]


def test_the_users_assignment_names_what_a_layer_returns():
    tape = tape_of_net()
    assert [r.name for r in tape][:2] == ["z1", "a1"]
    assert tape[2].name is None                                # inside Sequential nobody named it


def test_parameters_are_named_by_their_paths():
    assert [p.name for p in Net().parameters()] == [
        "hidden.weight", "hidden.bias", "blocks.0.0.weight", "blocks.0.0.bias", "blocks.1.weight", "blocks.1.bias"]

    class Own(nn.Module):
        def __init__(self):
            self.W = nn.Parameter([1.0])
            self.c = nn.Parameter([1.0], name="bias term")
    assert [p.name for p in nn.Sequential(Own()).parameters()] == ["0.W", "bias term"]


def test_an_alias_renames_nothing():
    class Alias(nn.Module):
        def __init__(self):
            self.blocks = nn.ModuleList([nn.Linear(1, 1)])
            self.first = self.blocks[0]

        def forward(self, x):
            return self.first(x)
    net = Alias()
    assert net(np.ones(1)).scope == "Alias.blocks.0"
    assert net.first.weight.name == "blocks.0.weight"


def test_lines_are_the_users():
    model, x = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), ad.Tensor(np.ones((1, 2)))
    out = model(x); here = line()                              # noqa: E702
    for record in ad.Tape(out):
        assert here in record.where, record.where


def test_the_line_of_a_call_is_looked_up_anew_each_time():
    layer, x = nn.Tanh(), ad.Tensor(np.ones(2), requires_grad=True)
    for _ in range(2):
        a = layer(x); first = line()                           # noqa: E702
        b = layer(x); second = line()                          # noqa: E702
        assert (first in a.record.where, second in b.record.where) == (True, True)
        assert (a.name, b.name) == ("a", "b")
        with ad.scope("outer"):
            c = layer(x)
        assert (a.scope, c.scope) == ("Tanh", "outer.Tanh")


def test_the_scope_is_closed_when_forward_raises():
    layer = nn.Linear(2, 2)
    with pytest.raises(ad.ShapeError):
        layer(np.ones((1, 3)))
    assert (ad.Tensor(1.0, requires_grad=True) * 2).scope == ""


def test_a_shape_that_does_not_fit_names_the_line_and_the_axis():
    layer = nn.Linear(2, 2)
    with pytest.raises(ad.ShapeError, match="3 features.*expects 2") as caught:
        layer(np.ones((1, 3)))
    assert "test_names_and_scopes.py" in str(caught.value)


def test_losses_are_named_as_assigned_and_what_is_between_apart():
    p = ad.Tensor([0.5], requires_grad=True)
    for loss_fn in (nn.BCELoss(), nn.functional.binary_cross_entropy):
        loss = loss_fn(p, np.array([1.0]))
        assert [r.name for r in ad.Tape(loss)] == ["losses", "loss"]


def test_the_mlp_speaks_as_the_notes_do():
    model = nn.MLP([3, 4, 2, 1], rng=0)
    x = ad.Tensor(np.ones((5, 3)))
    out = model(x)
    tape = ad.Tape(out)
    assert [r.name for r in tape] == ["z1", "a1", "z2", "a2", "z3", "yhat"]
    assert [p.name for p in model.parameters()] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert [path for path, _ in model.named_parameters()][:3] == ["layers.0.weight", "layers.0.bias", "layers.1.weight"]
    assert [r.scope.path for r in tape] == ["MLP.layers.0", "MLP", "MLP.layers.1", "MLP", "MLP.layers.2", "MLP"]
    logits = model.logits(x); here = line()                    # noqa: E702
    assert logits.name == "z3"
    assert all(here in r.where and r.scope.path.startswith("MLP") for r in ad.Tape(logits))


def test_a_model_called_by_the_library_is_called_at_the_users_line():
    places = []

    def loss_fn(prediction, target):
        places.append(prediction.record.where)
        return nn.functional.mse_loss(prediction, target)
    model = nn.Linear(1, 1)
    nn.fit(model, loss_fn, (np.ones((2, 1)), np.ones((2, 1))), nn.optim.SGD(model.parameters(), 0.1), 1, progress=False)
    [place] = places
    number = int(place.split("test_names_and_scopes.py:")[1].split()[0])
    assert "nn.fit(model" in linecache.getline(__file__, number)
