"""Modules: what is found, named, saved, copied and shown, and what is refused."""

import copy
import gc
import pickle

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.record import Record


class Net(nn.Module):
    def __init__(self, rng=0):
        draws = np.random.default_rng(rng)
        self.hidden = nn.Linear(3, 4, rng=draws)
        self.scale = nn.Parameter(np.ones(4))
        self.mean = ad.Tensor(np.arange(3.0))
        self.heads = nn.ModuleList([nn.Linear(4, 1, rng=draws), nn.Linear(4, 2, rng=draws)])

    def forward(self, x):
        return self.heads[0](np.tanh(self.hidden(x - self.mean)) * self.scale)


def test_attributes_are_found_in_pytorchs_order():
    net = Net()
    assert [path for path, _ in net.named_parameters()] == [
        "scale", "hidden.weight", "hidden.bias", "heads.0.weight", "heads.0.bias", "heads.1.weight", "heads.1.bias"]
    assert [path for path, _ in net.named_modules()] == ["", "hidden", "heads", "heads.0", "heads.1"]
    assert all(a is b for a, (_, b) in zip(net.parameters(), net.named_parameters(), strict=True))


def test_leaves_that_require_grad_are_parameters_others_buffers_results_neither():
    net = nn.Module()
    net.W = ad.Tensor([1.0], requires_grad=True)
    net.buffer = ad.Tensor([2.0])
    net._private = ad.Tensor([3.0])
    net.result = net.W * 2
    net.frozen = nn.Parameter([4.0], requires_grad=False)
    assert [path for path, _ in net.named_parameters()] == ["W", "frozen"]
    assert list(net.state_dict()) == ["W", "buffer", "frozen"]


def test_super_init_may_be_called_and_need_not_be():
    class Polite(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)
    assert len(Polite().parameters()) == 2
    assert len(Net().parameters()) == 7                        # Net does not call it


def test_a_shared_parameter_counts_once_and_is_saved_under_each_path():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    net = nn.Sequential(first, second, first)
    assert [path for path, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    state = net.state_dict()
    assert {"0.weight", "1.weight", "2.weight"} <= set(state)
    del state["0.weight"], state["2.weight"], state["2.bias"]
    net.load_state_dict(state)                                 # one of its paths is enough
    state["0.weight"] = state["1.weight"] + 1
    with pytest.raises(nn.StateError, match=r"shared.*0\.weight.*is the same tensor as 1\.weight"):
        net.load_state_dict(state)


def test_state_dict_goes_round_and_holds_copies():
    net, other = Net(0), Net(1)
    state = net.state_dict()
    state_before = {path: array.copy() for path, array in state.items()}
    other.load_state_dict(state)
    x = np.ones((2, 3))
    assert np.array_equal(net(x).data, other(x).data)
    other.scale.data = np.zeros(4)
    net.scale.data = np.full(4, 5.0)
    assert all(np.array_equal(state[path], state_before[path]) for path in state)
    assert not np.array_equal(net(x).data, other(x).data)


def test_loading_writes_in_place_in_the_held_dtype_and_bumps_the_version():
    layer = nn.Linear(2, 1, dtype=np.float32)
    record, array = layer.weight.record, layer.weight.record.value
    version = record.version
    layer.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": [3.0]})
    assert layer.weight.record is record
    assert record.value is array
    assert array.dtype == np.float32
    assert record.version > version
    assert array.tolist() == [[1.0, 2.0]]


def test_a_graph_from_before_loading_is_not_walked_silently():
    layer = nn.Linear(2, 1)
    loss = (layer(np.ones((1, 2))) ** 2).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(ad.MutationError):
        loss.backward()


def test_one_error_lists_everything_and_nothing_is_changed():
    net = Net()
    before = net.state_dict()
    state = net.state_dict()
    del state["scale"], state["mean"]
    state["hidden.bias"] = np.zeros(5)
    state["heads.0.weight"] = state["heads.0.weight"].astype(complex)
    state["hidden.weight"] = np.full((4, 3), 7.0)
    state["extra"] = np.zeros((1, 2))
    with pytest.raises(nn.StateError) as caught:
        net.load_state_dict(state)
    lines = str(caught.value).splitlines()
    assert lines[0] == "this state does not fit Net; nothing was changed"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "missing scale (4,)", "missing mean (3,)", "unexpected extra (1, 2)",
        "shape hidden.bias (5,) given, (4,) held", "dtype heads.0.weight complex128 given, float64 held"]
    assert all(np.array_equal(net.state_dict()[path], array) for path, array in before.items())
    with pytest.raises(nn.StateError) as caught:
        net.load_state_dict(state, strict=False)
    assert "missing" not in str(caught.value)
    assert "hidden.bias" in str(caught.value)
    net.load_state_dict({"scale": np.zeros(4), "extra": 1.0}, strict=False)
    assert not net.scale.data.any()


def test_train_and_eval_reach_everything():
    net = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.Dropout(0.5))
    assert net.eval() is net
    assert not any(module.training for _, module in net.named_modules())
    net.train()
    assert all(module.training for _, module in net.named_modules())


def test_zero_grad():
    net = Net()
    net(np.ones((1, 3))).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


# ---- what would go wrong silently elsewhere

@pytest.mark.parametrize("parts", [[nn.Tanh()], (nn.Tanh(),), {"a": nn.Tanh()}, [nn.Parameter([1.0])]],
                         ids=["list", "tuple", "dict", "parameters"])
def test_a_plain_container_of_modules_is_refused(parts):
    net = nn.Module()
    with pytest.raises(nn.ModuleError, match=r"Module.layers is a plain .* nn\.Module(List|Dict)"):
        net.layers = parts


def test_a_list_that_was_filled_later_is_refused_when_it_matters():
    net = nn.Module()
    net.layers = []
    net.layers.append(nn.Linear(1, 1))
    with pytest.raises(nn.ModuleError, match="plain list"):
        net.parameters()


def test_a_missing_forward_is_named():
    class Empty(nn.Module):
        pass
    with pytest.raises(nn.ModuleError, match=r"Empty has no forward.*\n.*def forward"):
        Empty()(1)


def test_an_attribute_error_within_forward_is_its_own():
    class Typo(nn.Module):
        def forward(self, x):
            return self.layr(x)
    with pytest.raises(AttributeError, match="layr"):
        Typo()(1)


def test_containers_say_what_is_wrong():
    with pytest.raises(nn.ModuleError, match=r"did you mean Tanh\(\)"):
        nn.Sequential(nn.Linear(1, 1), nn.Tanh)
    with pytest.raises(nn.ModuleError, match="ModuleList only holds"):
        nn.ModuleList([nn.Tanh()])(1)
    with pytest.raises(nn.ModuleError, match="with dots"):
        nn.ModuleDict({"a.b": nn.Tanh()})
    with pytest.raises(nn.ModuleError, match="method or attribute"):
        nn.ModuleDict({"items": nn.Tanh()})
    with pytest.raises(KeyError, match=r"\['a'\]"):
        nn.ModuleDict({"a": nn.Tanh()})["b"]


def test_a_module_cannot_hold_itself():
    net = nn.Sequential(nn.Tanh())
    with pytest.raises(nn.ModuleError, match="form a tree"):
        net.me = net
    with pytest.raises(nn.ModuleError, match="form a tree"):
        net[0].parent = net


def test_containers_as_sequences():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    assert len(net) == 3
    assert [type(m) for m in net] == [nn.Linear, nn.Tanh, nn.Linear]
    assert net[-1] is list(net)[2]
    assert isinstance(net[:2], nn.Sequential)
    assert net[:2][0] is net[0]
    assert [name for name, _ in nn.ModuleDict({"a": nn.Tanh(), "b": nn.ReLU()}).items()] == ["a", "b"]


# ---- copies

@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_are_equal_and_separate(copied):
    net = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Tanh(), nn.Linear(2, 2, rng=1))
    net[2].weight = net[0].weight
    net(np.ones((1, 2)))                                       # a call leaves traces that cannot be pickled
    net.eval()
    twin = copied(net)
    assert type(twin[0].weight) is nn.Parameter
    assert not twin[1].training
    assert [p.name for p in twin.parameters()] == [p.name for p in net.parameters()]
    assert twin[2].weight.record is twin[0].weight.record      # still shared
    assert np.array_equal(twin(np.ones((1, 2))).data, net(np.ones((1, 2))).data)
    twin[0].weight.data = np.zeros((2, 2))
    assert net[0].weight.data.any()


def test_mlp_pickles():
    model = nn.MLP([2, 3, 1], rng=0)
    twin = pickle.loads(pickle.dumps(model))
    assert np.array_equal(twin(np.ones((1, 2))).data, model(np.ones((1, 2))).data)
    assert twin.layers[0].weight.name == "W1"


def test_a_copy_held_elsewhere_gets_its_own_step_and_names():
    class Pair(nn.Module):
        def __init__(self):
            self.a = nn.Linear(2, 2)
            self.b = copy.deepcopy(self.a)

        def forward(self, x):
            return self.b(self.a(x))
    pair = Pair()
    assert [p.name for p in pair.parameters()] == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert pair(np.ones((1, 2))).scope == "Pair.b"


# ---- stand-ins

def test_with_parameters_leaves_the_original_alone():
    net = Net()
    zeros = net.with_parameters({path: np.zeros(p.shape) for path, p in net.named_parameters()})
    assert not zeros(np.ones((2, 3))).data.any()
    assert net(np.ones((2, 3))).data.any()
    assert isinstance(zeros, Net)
    assert zeros.mean is net.mean
    with pytest.raises(nn.StateError, match="hidden.weight"):
        net.with_parameters({"scale": np.zeros(4)})


def test_with_parameters_keeps_what_is_shared_and_bound():
    class Tied(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
            self.second.weight = self.first.weight
            self.again = self.first
            self.bound = self.first.forward

        def forward(self, x):
            return self.second(self.again(x)) + self.bound(x)
    net = Tied()
    twin = net.with_parameters({path: np.zeros(p.shape) for path, p in net.named_parameters()})
    assert twin.again is twin.first
    assert twin.bound.__self__ is twin.first
    assert twin.second.weight.record is twin.first.weight.record
    assert not twin(np.ones((1, 2))).data.any()


def test_grad_of_a_function_of_a_model_is_the_backward_one():
    net, x = Net(), np.random.default_rng(0).normal(size=(5, 3))
    found = ad.grad(lambda model: (model(x) ** 2).mean())(net)
    assert all(p.grad is None for p in net.parameters())
    (net(x) ** 2).mean().backward()
    assert list(found) == [path for path, _ in net.named_parameters()]
    for path, p in net.named_parameters():
        expected = np.zeros(p.shape) if p.grad is None else p.grad
        assert np.allclose(np.asarray(ad.as_tensor(found[path]).detach()), expected, rtol=1e-12, atol=0), path


def test_hessian_through_a_model_argument():
    layer = nn.Linear(1, 1, bias=False)
    second = ad.grad(lambda m: ad.grad(lambda n: (n(np.array([[3.0]])) ** 3).sum())(m)["weight"].sum())(layer)
    w = layer.weight.data.item()
    assert ad.as_tensor(second["weight"]).detach().numpy().item() == pytest.approx(6 * 3 ** 3 * w, rel=1e-12)


# ---- memory

def test_calls_and_copies_leave_nothing_behind():
    net, x = nn.MLP([3, 4, 1], rng=0), np.ones((5, 3))
    optimizer = nn.optim.Adam(net.parameters())

    def step():
        optimizer.zero_grad()
        net.loss_fn(net(x), np.ones((5, 1))).backward()
        optimizer.step()
        net.with_parameters(dict(net.named_parameters()))(x)

    def records():
        return sum(issubclass(type(o), Record) for o in gc.get_objects())      # o may be a proxy of what is gone

    step()
    gc.collect()
    gc.disable()
    try:
        before = records()
        for _ in range(20):
            step()
        assert records() == before
    finally:
        gc.enable()


# ---- text

def test_repr_is_a_tree_with_shapes_and_counts():
    assert repr(Net()) == "\n".join([
        "Net    scale (4,), mean (3,) not trained    35 parameters",
        "  hidden: Linear(3, 4)    weight (4, 3), bias (4,)    16 parameters",
        "  heads: ModuleList    15 parameters",
        "    0: Linear(4, 1)    weight (1, 4), bias (1,)    5 parameters",
        "    1: Linear(4, 2)    weight (2, 4), bias (2,)    10 parameters"])
    assert repr(nn.Linear(1, 1, bias=False, dtype=np.float32)) == \
        "Linear(1, 1, bias=False)    weight (1, 1) float32    1 parameter"
    assert repr(nn.MLP([2, 3, 1])).splitlines()[0] == \
        "MLP([2, 3, 1], activation='sigmoid', output='binary')    13 parameters"
    assert repr(nn.Sequential(nn.Dropout(0.25), nn.Softmax(axis=0), nn.Flatten(2), nn.MSELoss("sum"))) == "\n".join([
        "Sequential()", "  0: Dropout(0.25)", "  1: Softmax(axis=0)", "  2: Flatten(start=2)",
        "  3: MSELoss(reduction='sum')"])
