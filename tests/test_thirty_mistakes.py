"""The mistakes people make first, each with an error that says what happened, to which operand, where, and what to do.

`told` runs the mistake and looks for pieces of the message in their order; the user's line, which stands in
most, is found by the text of the mistake itself.
"""

import math
import re

import numpy as np
import pytest

import autodiff as ad
import nn

HERE = "test_thirty_mistakes.py:"


def leaf(*shape, name="W"):
    return ad.Tensor(np.arange(1.0, 1 + np.prod(shape)).reshape(shape), requires_grad=True, name=name)


def told(kind, *pieces):
    """Expect an error of this kind with these pieces of text, in order."""
    return pytest.raises(kind, match=r"[\s\S]*".join(re.escape(piece) for piece in pieces))


# ---- shapes

def test_01_a_bias_of_the_wrong_length():
    z, b = leaf(5, 4) * 1, np.ones(5)
    with told(ad.ShapeError, "add: shapes (5, 4) and (5,) do not broadcast: axis -1 is 4 against 5",
              "z            (5, 4) float64, multiply at", "b            (5,) float64", HERE, ": z + b", "b[:, None]"):
        z + b


def test_02_matmul_without_the_transpose():
    x, W = np.ones((5, 3), np.float32), leaf(4, 3)
    with told(ad.ShapeError, "matmul: the last axis of the first operand has 3 elements, axis -2 of the second has 4",
              "x            (5, 3) float32", "W            (4, 3) float64", HERE, ": x @ W", "Did you mean x @ W.T?"):
        x @ W


def test_03_matmul_with_a_number():
    W = leaf(4, 3)
    with told(ad.ShapeError, "matmul: a single number has no axis to multiply along", "Did you mean W * 2?"):
        W @ 2


def test_04_reshape_to_another_number_of_elements():
    W = leaf(4, 3)
    with told(ad.ShapeError, "reshape: 12 elements of shape (4, 3) do not fill shape (5, 2)", HERE, "W.reshape(5, 2)"):
        W.reshape(5, 2)
    with told(ad.ShapeError, "reshape: only one axis can be left to be worked out (-1)"):
        W.reshape(-1, -1)


def test_05_an_axis_that_is_not_there():
    W = leaf(4, 3)
    with told(ad.BadIndexError, "sum: axis 2 is out of bounds for array of dimension 2", "W            (4, 3)",
              "axis=2", HERE, "W.sum(axis=2)"):
        W.sum(axis=2)
    with told(ad.ShapeError, "transpose: axes (0, 1, 2) do not name each of the 2 axes of shape (4, 3) once"):
        W.transpose(0, 1, 2)
    with told(ad.ShapeError, "squeeze: axis 0 has 4 elements; only an axis of 1 can be taken away"):
        W.squeeze(0)


def test_06_an_index_that_is_not_there_or_no_integer():
    W = leaf(4, 3)
    with told(ad.BadIndexError, "getitem: index 7 is out of bounds for axis 0 with size 4", "W", HERE, "W[7]"):
        W[7]
    positions = np.array([0.0, 1.0])
    with told(ad.BadIndexError, "getitem: arrays used as indices must be of integer (or boolean) type", HERE,
              "Positions are integers", ".astype(int)"):
        W[positions]


def test_07_joining_what_does_not_fit():
    W, b = leaf(4, 3), leaf(4, name="b")
    with told(ad.ShapeError, "concatenate: all the input arrays must have same number of dimensions", "W", "b", HERE,
              "x[:, None] adds an axis"):
        np.concatenate([W, b])
    with told(ad.ShapeError, "stack: all input arrays must have the same shape", "W", "b"):
        np.stack([W, b])


def test_08_a_layer_for_other_features():
    model = nn.Linear(3, 2)
    samples = np.ones((5, 4))
    with told(ad.ShapeError, "linear: the samples have 4 features (last axis of x), the weight expects 3 (axis 1 of W)",
              "samples", "weight       (2, 3) float64", HERE, "model(samples)"):
        model(samples)


def test_09_a_loss_that_would_broadcast():
    loss = nn.MSELoss()
    with told(ad.ShapeError, "mse_loss: prediction and target must have one shape, and are (5, 1) and (5,)",
              "target[:, None]", HERE):
        loss(leaf(5, 1), np.ones(5))
    with told(ad.OperandError, "cross_entropy: class numbers must be integers, and are float64", "target.astype(int)"):
        nn.CrossEntropyLoss()(leaf(5, 3), np.ones(5))
    with told(ad.ShapeError, "cross_entropy: class numbers of shape (2,) do not fit logits of shape (4, 3)"):
        ad.cross_entropy_of_labels(leaf(4, 3), np.array([0, 1]))


# ---- numbers that are none

def test_10_integers_booleans_and_complex_numbers_cannot_require_grad():
    for data in (np.arange(3), np.array([True, False])):
        with told(ad.OperandError, f"dtype {data.dtype} cannot require grad", ".astype(np.float64)"):
            ad.Tensor(data, requires_grad=True)
    with told(ad.OperandError, "dtype int64 cannot require grad"):
        ad.Tensor([1, 2], dtype=np.int64, requires_grad=True)        # without dtype= a list of ints becomes float64
    with told(ad.OperandError, "dtype complex128 cannot require grad", "real and imaginary parts as two tensors"):
        ad.Tensor(np.ones(2, complex), requires_grad=True)


def test_11_text_objects_none_dicts_and_ragged_lists_are_no_tensors():
    with told(ad.OperandError, "a tensor holds numbers", "dtype <U3", "np.array(data, dtype=float)"):
        ad.Tensor(["1.5", "2.0"])
    with told(ad.OperandError, "a tensor holds numbers", "dtype object"):
        ad.Tensor(np.array([None, 1.0]))
    with told(ad.OperandError, "this is None. Did a function forget its `return`?"):
        ad.Tensor(None)
    with told(ad.OperandError, "not a dict", "ad.Tensor(v) for k, v"):
        ad.Tensor({"a": 1.0})
    with told(ad.OperandError, "the rows of this list differ in length", "1, 2"):
        ad.Tensor([[1.0], [2.0, 3.0]])
    with told(ad.OperandError, "a list of tensors is not a tensor; use np.stack([...])"):
        ad.Tensor([leaf(3), leaf(3)])
    with told(ad.OperandError, "a tensor holds numbers, and", "is none"):
        leaf(3).astype(str)
    with told(TypeError, "unsupported operand type(s) for +: 'Tensor' and 'str'"):
        leaf(3) + "three"


# ---- backward

def test_12_backward_of_what_is_no_scalar():
    W = leaf(4, 3)
    z = W * 2
    with told(ad.GradientError, "z has shape (4, 3)", "∂loss/∂z", "Did you mean its .mean() or .sum()?"):
        z.backward()
    with told(ad.ShapeError, "z has shape (4, 3), the gradient given (3,)"):
        z.backward(np.ones(3))


def test_13_nothing_requires_grad():
    W = ad.Tensor(np.ones(3))                                        # requires_grad=True forgotten
    loss = (W * W).sum()
    with told(ad.GradientError, "loss does not depend on anything that requires grad", HERE, "(W * W).sum()",
              "ad.Tensor(..., requires_grad=True)"):
        loss.backward()


def test_14_no_grad_left_on_or_detach_on_the_way():
    W = leaf(3)
    with ad.no_grad():
        loss = (W * W).sum()
        with told(ad.GradientError, "loss does not depend", "leave `with ad.no_grad():` first"):
            loss.backward()
    with told(ad.GradientError, "loss does not depend", "ad.no_grad()", ".detach(), .numpy()"):
        loss.backward()
    cut = (W.detach() * 2).sum()
    with told(ad.GradientError, "cut does not depend", "(W.detach() * 2).sum()", ".detach()"):
        cut.backward()


def test_15_a_loss_made_of_steps():
    W = leaf(3)
    accuracy = (W > 2).mean()
    with told(ad.GradientError, "accuracy does not depend", "cut off by greater, which has no derivative", HERE,
              "constant between its jumps"):
        accuracy.backward()


def test_16_gradient_of_what_is_not_on_the_tape():
    W, b = leaf(3), leaf(3, name="b")
    loss = (W * W).sum()
    with told(ad.GradientError, "b (from", ") is not on the tape of loss: it was not computed from it"):
        ad.gradients(loss, [b])
    with told(ad.OperandError, "takes a list of tensors: ad.gradients(loss, [t])"):
        ad.gradients(loss, W)
    with told(ad.OperandError, "takes tensors, and got an array of shape (3,)", "ad.grad(f)(x)"):
        ad.gradients(loss, [np.ones(3)])


def test_17_backward_again_through_changed_parameters():
    W = leaf(3)
    loss = (W * W).sum()
    loss.backward()
    optimizer = nn.optim.SGD([W], lr=0.1)
    optimizer.step()
    with told(ad.MutationError, "W, used by multiply, was changed in place after it was used at", HERE, "W * W",
              "Call backward() before changing it"):
        loss.backward()


def test_18_data_changed_before_backward():
    W, batch = leaf(3), np.ones(3)
    loss = (W * batch).sum()
    batch *= 2
    with told(ad.MutationError, "batch, used by multiply, was changed in place", HERE, "W * batch", "change a copy"):
        loss.backward()


def test_19_zero_grad_forgotten_is_no_error_and_adds_up():
    W = leaf(3)
    for _ in range(2):
        (W * 2).sum().backward()
    assert np.array_equal(W.grad, [4, 4, 4])


# ---- writing in place, plain arrays

def test_20_in_place_on_a_parameter():
    W = leaf(3)
    with told(ad.GradientError, "subtract in place: W is a leaf that requires grad", HERE, "with ad.no_grad():"):
        W -= 0.1
    with told(ad.GradientError, "assignment to elements: W is a leaf that requires grad", HERE):
        W[0] = 0.0


def test_21_setting_what_only_a_leaf_has():
    W = leaf(3)
    h = W * 2
    for name, value in (("grad", np.ones(3)), ("requires_grad", True), ("data", np.ones(3))):
        with told(ad.GradientError, " h: it is the result of", "Only leaves"):
            setattr(h, name, value)
    with told(ad.ShapeError, "W has shape (3,); its .grad cannot have shape (2,)"):
        W.grad = np.ones(2)


def test_22_an_array_of_tensors():
    W = leaf(3)
    with told(ad.TracedValueError, "W is on a tape, and a plain array made of it would not be", HERE,
              "np.array([W, W])", "np.stack([...])"):
        np.array([W, W])


def test_23_adding_a_tensor_into_an_array():
    W, total = leaf(3), np.zeros(3)
    with told(ad.OperandError, "np.add cannot write into an array (out=, or `array += tensor`)", HERE, "total += W",
              "x = x + t"):
        total += W


def test_24_an_if_on_many_elements():
    W = leaf(4, 3)
    with told(ad.ShapeError, "bool() needs a tensor of one element; the result of greater has shape (4, 3)", HERE,
              "W > 0", "np.where(condition, a, b)"):
        if W > 0:
            pass
    with told(ad.ShapeError, "item() needs a tensor of one element; W has shape (4, 3)", "W.item()", "t[i]", ".mean()"):
        W.item()


# ---- transforms

def test_25_control_flow_by_value_in_a_transform():
    def f(x):
        return x * 2 if x > 0 else x

    with told(ad.TracedValueError, "bool() of the result of greater inside ad.grad", HERE, "x > 0", "np.where"):
        ad.grad(f)(1.0)
    with told(ad.TracedValueError, "float() of x inside ad.grad", "math.sin(x)", "np.sin, not math.sin"):
        ad.grad(lambda x: math.sin(x))(1.0)
    with told(ad.TracedValueError, "x is on a tape", "np.asarray(x)"):
        ad.grad(lambda x: np.asarray(x).sum())(np.ones(3))


def test_26_a_function_that_returns_no_scalar():
    with told(ad.GradientError, "ad.grad needs a function that returns a scalar; this one returned shape (3,)",
              ".sum() or .mean()", "ad.jacobian"):
        ad.grad(lambda x: x * 2)(np.ones(3))
    with told(ad.GradientError, "returned NoneType. Is its `return` missing?"):
        ad.grad(lambda x: None)(1.0)
    with told(ad.GradientError, "returned tuple", "has_aux=True"):
        ad.grad(lambda x: (x * x, x))(1.0)
    with told(ad.GradientError, "has_aux=True needs a function that returns (loss, aux); this one returned Tensor"):
        ad.grad(lambda x: x * x, has_aux=True)(1.0)


def test_27_grad_of_a_loss_instead_of_a_function():
    W = leaf(3)
    loss = (W * W).sum()
    for transform in (ad.grad, ad.value_and_grad, ad.jacobian, ad.hessian):
        with told(ad.OperandError, "takes a function, and got Tensor", "loss.backward()", "ad.gradients(loss, [x])"):
            transform(loss)


def test_28_wrong_argnums():
    def f(x, y):
        return x * y

    with told(ad.OperandError, "argnums=2, but f was called with 2 positional arguments"):
        ad.grad(f, argnums=2)(1.0, 2.0)
    with told(ad.OperandError, "argnums='y': arguments are chosen by position, 0 for the first"):
        ad.grad(f, argnums="y")(1.0, 2.0)


def test_29_tangents_and_cotangents_of_the_wrong_shape():
    with told(ad.ShapeError, "ad.jvp: x, a primal, has shape (2,), its tangent (3,)"):
        ad.jvp(lambda x: x, (np.ones(2),), (np.ones(3),))
    with told(ad.OperandError, "ad.jvp: 1 arrays in the primals, and 0 in the tangents"):
        ad.jvp(lambda x: x, (np.ones(2),), ())
    _, pullback = ad.vjp(lambda x: x, np.ones(2))
    with told(ad.ShapeError, "ad.vjp: the value has shape (2,), its cotangent (3,)"):
        pullback(np.ones(3))


def test_30_tensors_of_an_ended_transform():
    """Their values are right, and so is what is computed from them; a gradient that nobody could get is refused."""
    kept = []

    def f(x):
        kept.extend([x, x * 2])
        return (x * x).sum()

    gradient = ad.grad(f)(np.array([1.0, 2.0]))
    x, doubled = kept
    loss = (doubled * 3).sum()
    with told(ad.GradientError, "loss depends on nothing that requires grad but x, a variable of ad.grad at", HERE,
              "which has ended", "has_aux=True"):
        loss.backward()
    assert x.grad is None
    W = leaf(2)
    (W * doubled).sum().backward()                                   # with a parameter of one's own it is as written
    assert np.array_equal(W.grad, doubled.data)
    again = ad.grad(lambda y: (y * x).sum())(np.ones(2))             # and x alone is a constant
    assert isinstance(again, np.ndarray)
    assert np.array_equal(again, x.data)
    assert np.array_equal(gradient, [2.0, 4.0])

    def fails(x):
        kept.append(x)
        raise KeyError("in the user's function")

    with pytest.raises(KeyError):
        ad.grad(fails)(1.0)
    with told(ad.GradientError, "x, a variable of ad.grad"):
        (kept[-1] * 2).backward()


def test_31_the_variables_of_a_transform_have_the_names_of_the_parameters():
    seen = {}

    def f(x, params, *rest):
        seen["names"] = [x.name, params["W"].name, params["bs"][1].name, rest[0].name]
        return x * params["W"] * params["bs"][1] * rest[0]

    gradient = ad.grad(f, argnums=(0, 1, 2))
    result = gradient(1.0, {"W": 2.0, "bs": [3.0, 4.0]}, 5.0)
    assert seen["names"] == ["x", "W", "bs[1]", "argument2"]
    assert result[0] == 40.0


# ---- names

def test_32_names_that_are_not_there_or_stand_for_several():
    W = leaf(3)
    for _ in range(2):
        h = W * 2
        W = h
    tape = ad.Tape(h.sum())
    with told(ad.GradientError, "nothing on this tape is called 'V'; known names:", "W", "h"):
        tape.find("V")
    with told(ad.GradientError, "2 tensors on this tape are called 'h'", HERE, "Name them apart with .named(...)"):
        tape.find("h")
    with told(ad.GradientError, "nothing on this tape is called 'V'"):
        tape.replay({"V": 1.0})
    with told(ad.ReplayError, "W has shape (3,) on this tape, not (2,); record the program again"):
        ad.Tape((leaf(3) * 2).sum()).replay({"W": np.ones(2)})


# ---- layers and optimisers

def test_33_a_state_that_does_not_fit():
    with told(nn.StateError, "this state does not fit Linear; nothing was changed", "missing     bias",
              "unexpected  bia", "shape       weight    (3, 2) given, (2, 3) held"):
        nn.Linear(3, 2).load_state_dict({"weight": np.ones((3, 2)), "bia": np.ones(2)})


def test_34_an_optimiser_without_parameters_or_with_something_else():
    W = leaf(3)
    with told(ad.OperandError, "SGD was given no parameters", "not in plain lists"):
        nn.optim.SGD([], lr=0.1)
    with told(ad.OperandError, "SGD takes parameters, not a module: write model.parameters()"):
        nn.optim.SGD(nn.Linear(3, 2), lr=0.1)
    with told(ad.GradientError, "is the result of", "not a leaf"):
        nn.optim.SGD([W * 2], lr=0.1)
    with told(ad.GradientError, "W is given twice"):
        nn.optim.SGD([W, W], lr=0.1)


def test_35_layers_in_a_plain_list_and_no_forward():
    class Stack(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]

    with told(nn.ModuleError, "Stack.layers is a plain list of modules", "nn.ModuleList"):
        Stack()

    class Empty(nn.Module):
        pass

    with told(nn.ModuleError, "Empty has no forward", "def forward(self, x):"):
        Empty()(1.0)


# ---- rules of one's own

def test_36_a_numpy_function_without_a_rule():
    W = leaf(3, 3)
    with told(ad.NoRuleError, "np.linalg.eigvals has no derivative rule here", HERE, "np.linalg.eigvals(W)", "@ad.op",
              "def eigvals(x): return np.linalg.eigvals(x)", ".detach()"):
        np.linalg.eigvals(W)


def test_37_an_op_whose_rule_was_forgotten():
    @ad.op
    def cube(x):
        return x**3

    W = leaf(3)
    loss = cube(W).sum()
    with told(ad.GradientError, "loss does not depend", "cut off by cube, which has no derivative", HERE,
              "cube.derivative(lambda y, x: ...)"):
        loss.backward()


def test_38_too_few_rules_too_many_or_of_other_parameters():
    @ad.op
    def mix(a, b, *, k=1.0):
        return a * b * k

    with told(ad.OperandError, "mix.derivative: mix(a, b) has 2 operands, and 1 rule was given", "Give one for each"):
        mix.derivative(lambda y, a, b: b)
    with told(ad.OperandError, "mix(a, b) has 2 operands, and 3 rules were given"):
        mix.vjp(None, None, None)
    with told(ad.OperandError, "mix.derivative: the rule for b takes (y, a), and will be called with (y, a, b)"):
        mix.derivative(lambda y, a, b: b, lambda y, a: a)
    with told(ad.OperandError, "mix.vjp: the rule for a takes (g, a, b), and will be called with (g, y, a, b)",
              "the gradient g and the result y"):
        mix.vjp(lambda g, a, b: g * b, None)
    with told(ad.OperandError, "mix.derivative: the rule for a is 2. Write a function, lambda y, a, b: ...", "1 or -1"):
        mix.derivative(2, 1)                                         # 2 would have counted as -1
    mix.derivative(lambda y, a, b, k=1.0: b * k, lambda y, a, b, *, k=1.0: a * k)
    assert ad.grad(lambda a: mix(a, 3.0, k=2.0))(1.0) == 6.0


def test_39_a_rule_that_returns_nothing_or_the_wrong_shape():
    W = leaf(3)

    @ad.op
    def forgot(x):
        return x * 2

    def rule(g, y, x):
        g * 2

    forgot.vjp(rule)
    with told(ad.GradientError, "the rule of forgot returned None, and must return an array", "a `return`?") as error:
        forgot(W).sum().backward()
    assert "in the gradient of forgot with respect to W, recorded at" in error.value.__notes__[0]
    forgot.vjp(lambda g, y, x: [1.0, 2.0, 3.0])
    with told(ad.GradientError, "the rule of forgot returned a list, and must return an array"):
        forgot(W).sum().backward()
    forgot.vjp(lambda g, y, x: np.ones(7))
    with told(ad.GradientError, "the rule gave a contribution of shape (7,) to an input of shape (3,)"):
        forgot(W).sum().backward()


def test_40_a_tensor_given_as_an_option():
    @ad.op
    def scaled(x, *, k):
        return x * k

    scaled.derivative(lambda y, x, k: k)
    k = ad.Tensor(2.0, requires_grad=True)
    for x in (leaf(3), np.ones(3)):
        with told(ad.OperandError, "scaled takes tensors as operands, by position"):
            scaled(x, k=k)


# ---- numbers that are too large

def test_41_half_precision_overflows():
    x = ad.Tensor(np.full(10, 6e4, np.float16), requires_grad=True)
    with ad.detect_anomaly(), told(ad.AnomalyError, "sum made inf of finite numbers", "(10,) float16, all 60000",
                                   HERE, "x.sum()", "float16 ends at 65504", "x.astype(np.float32)"):
        x.sum()


def test_42_numpys_own_checks_speak_of_operands_too():
    x = ad.Tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(all="raise"), told(ad.AnomalyError, "log: divide by zero", "x            (2,)", "np.log(x)"):
        np.log(x)
    with np.errstate(all="raise"), told(ad.AnomalyError, "divide: divide by zero", "1.0", "x", "1.0 / x"):
        1.0 / x


def test_an_array_of_python_objects():
    t = ad.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ad.OperandError, match=r"dtype object\) has no derivatives; convert it with .astype"):
        np.array([1, 2], dtype=object) * t
