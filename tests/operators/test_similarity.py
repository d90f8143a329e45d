from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import Bilinear, CosineSimilarity, MSELoss, Network, PairwiseDistance, fit
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.initializers import Constant, Uniform
from graphdl.optim import Adam
from tests.operators.case import Case, by_autograd, by_hand
from tests.operators.checks import every_check

MODULES = {Bilinear: nn.Bilinear, CosineSimilarity: nn.CosineSimilarity, PairwiseDistance: nn.PairwiseDistance}


def bilinear(p, x1, x2):
    return functional.bilinear(x1, x2, p["weight"], p.get("bias"))


def cosine(operator):
    return lambda p, x1, x2: functional.cosine_similarity(x1, x2, operator.dim, operator.eps)


def distance(operator):
    def reference(p, x1, x2):
        return functional.pairwise_distance(x1, x2, operator.p, operator.eps, operator.keepdim)

    return reference


PAIR = [(4, 3), (4, 3)]
COSINE = [
    ("rows", CosineSimilarity(), PAIR),
    ("last", CosineSimilarity(-1, eps=1e-3), [(2, 3, 2), (2, 3, 2)]),
    ("images", CosineSimilarity(1), [(2, 3, 1, 2), (2, 3, 1, 2)]),
    ("all-with-all", CosineSimilarity(2), [(3, 1, 2), (1, 4, 2)]),
    ("vectors", CosineSimilarity(0), [(3,), (3,)]),
]
DISTANCE = [
    ("euclidean", PairwiseDistance(), PAIR),
    ("absolute", PairwiseDistance(1, 0.0, True), PAIR),
    ("largest", PairwiseDistance(math.inf), [(2, 3, 2), (2, 3, 2)]),
    ("cubic", PairwiseDistance(3.0, keepdim=True), [(2, 3, 2), (2, 3, 2)]),
    ("between", PairwiseDistance(1.5), [(3, 1, 2), (1, 4, 2)]),
    ("below-1", PairwiseDistance(0.7, eps=0.1), PAIR),
    ("vectors", PairwiseDistance(), [(3,), (3,)]),
]
CASES = [
    Case("bilinear", Bilinear(3, 2, 4), [(5, 3), (5, 2)], bilinear),
    Case("bilinear-inferred", Bilinear(out_features=1), [(2, 2, 3), (2, 2, 2)], bilinear),
    Case("bilinear-no-bias", Bilinear(3, 2, 4, bias=False), [(3, 3), (3, 2)], bilinear),
    Case("bilinear-row", Bilinear(3, 2, 2, Constant(1), Uniform()), [(3,), (2,)], bilinear, batched=False),
    *(Case(f"cosine-{name}", op, xs, cosine(op), batched=len(xs[0]) > 1 and xs[0] == xs[1]) for name, op, xs in COSINE),
    *(
        Case(f"distance-{name}", op, xs, distance(op), batched=len(xs[0]) > 1 and xs[0] == xs[1])
        for name, op, xs in DISTANCE
    ),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def compare(operator, reference, *xs):
    """Value and gradients at special points, against torch."""
    case = Case("special", operator, [lambda generator, x=x: x for x in xs], reference)
    y, _ = case.forward({}, xs)
    found, expected = by_hand(case, {}, xs, torch.ones_like(y)), by_autograd(case, {}, xs, torch.ones_like(y))
    torch.testing.assert_close([found.y, *found.dxs], [expected.y, *expected.dxs], rtol=1e-10, atol=1e-10)


SPECIAL = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5], [2.0, 2.0, -2.0], [0.0, 3.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("eps", [1e-8, 2.0])
def test_the_cosine_of_short_vectors_is_torch_s(eps):
    operator = CosineSimilarity(eps=eps)
    compare(operator, cosine(operator), SPECIAL, SPECIAL.flip(0) + 0.25)
    compare(operator, cosine(operator), SPECIAL, SPECIAL)


@pytest.mark.parametrize("power", [0.0, 0.5, 1, 1.5, 2, 3, math.inf])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_distances_of_0_and_largest_differences_that_are_equal_are_torch_s(power, eps):
    operator = PairwiseDistance(power, eps)
    compare(operator, distance(operator), SPECIAL, SPECIAL)
    compare(operator, distance(operator), SPECIAL, torch.zeros_like(SPECIAL))


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_is_torch_s_module(bias):
    torch.manual_seed(0)
    module = nn.Bilinear(20, 30, 40, bias=bias)
    net = Network({"b": Bilinear(20, 30, 40, bias)}, {"x": ["b"], "y": ["b"]}, seed=0)
    for name, tensor in module.state_dict().items():
        ours = net.parameters[f"b.{name}"]
        assert ours.shape == tensor.shape
        assert ours.abs().max().item() == pytest.approx(tensor.abs().max().item(), rel=0.1)
        assert ours.std().item() == pytest.approx(tensor.std().item(), rel=0.3)
    net.load_state_dict({f"b.{name}": tensor for name, tensor in module.state_dict().items()})
    x, y = torch.randn(5, 20), torch.randn(5, 30)
    torch.testing.assert_close(net.predict({"x": x, "y": y}), module(x, y).detach())


def test_bilinear_learns_a_form():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, 3, generator=generator), torch.randn(256, 2, generator=generator)
    target = (x[:, :1] * y[:, 1:]) - 2 * x[:, 2:] * y[:, :1]
    operators = {"form": Bilinear(out_features=1), "loss": MSELoss()}
    net = Network(operators, {"x": ["form"], "y": ["form"], "form": ["loss"], "t": ["loss"]}, seed=0)
    inputs = {"x": x, "y": y, "t": target}
    history = fit(net, inputs, optimizer=Adam(lr=0.05), epochs=40, batch_size=32, progress=False)
    assert history["loss"][-1] < 1e-4
    assert net.parameters["form.weight"][0, 2].tolist() == pytest.approx([-2, 0], abs=0.05)


@pytest.mark.parametrize(
    ("operator", "shapes", "text"),
    [
        (Bilinear(3, 2, 4), [(5, 2), (5, 2)], r"do not fit together.*Expected \(n, \.\.\., 3\) and \(n, \.\.\., 2\)"),
        (Bilinear(3, 2, 4), [(5, 3), (5, 3)], "do not fit together"),
        (Bilinear(3, 2, 4), [(5, 3), (1, 2)], "do not fit together"),
        (Bilinear(3, 2, 4), [(5, 3), (2,)], "do not fit together"),
        (Bilinear(out_features=4), [(), (5, 2)], "an input is a single number"),
        (CosineSimilarity(), [(4, 3), (4, 2)], r"the shapes of the inputs differ.*with an axis 1"),
        (CosineSimilarity(), [(4, 3), (4, 1)], "the shapes of the inputs differ"),
        (CosineSimilarity(), [(4, 3), (5, 3)], "the shapes of the inputs differ"),
        (CosineSimilarity(), [(4, 3), (3,)], "different numbers of axes"),
        (CosineSimilarity(), [(4,), (4,)], "the inputs have no axis 1"),
        (CosineSimilarity(-3), [(4, 2), (4, 2)], "the inputs have no axis -3"),
        (
            PairwiseDistance(),
            [(4, 3), (4, 1)],
            r"shapes of the inputs differ.*two inputs \(n, \.\.\., i\) of the same shape",
        ),
        (PairwiseDistance(), [(4, 3), (3,)], "different numbers of axes"),
        (PairwiseDistance(), [(), ()], "the inputs have no axis -1"),
    ],
)
def test_other_shapes_are_told(operator, shapes, text):
    net = Network({"node": operator}, {"a": ["node"], "b": ["node"]})
    with pytest.raises(ShapeError, match=rf"node \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward({name: torch.ones(shape) for name, shape in zip("ab", shapes, strict=True)})


def test_sizes_follow_from_the_inputs():
    net = Network({"b": Bilinear(out_features=4)}, {"x": ["b"], "y": ["b"]})
    with pytest.raises(MissingInputError, match=r"b \(Bilinear\) needs in1_features"):
        _ = net.parameters
    assert net.build({"x": (3,), "y": (2,)}).engine.operators == {"b": Bilinear(3, 2, 4)}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Bilinear(3, 2), "Bilinear: out_features is missing; write Bilinear"),
        (lambda: Bilinear(0, 2, 3), "Bilinear: in1_features must be a whole number of at least 1, not 0"),
        (lambda: Bilinear(3, 2, 3, bias="yes"), "Bilinear: bias must be True or False, or an initializer .* not 'yes'"),
        (lambda: CosineSimilarity(1.0), "CosineSimilarity: dim must be a whole number, not 1.0"),
        (lambda: CosineSimilarity(eps=-1), "CosineSimilarity: eps must be a finite number of at least 0, not -1"),
        (lambda: PairwiseDistance(-1), "PairwiseDistance: p must be a number of at least 0 or infinity, not -1"),
        (lambda: PairwiseDistance(math.nan), "PairwiseDistance: p must be a number of at least 0 .* not nan"),
        (lambda: PairwiseDistance("2"), "PairwiseDistance: p must be a number, not '2'"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


@pytest.mark.parametrize("operator", MODULES)
def test_arguments_are_torch_s(operator):
    ours, theirs = inspect.signature(operator).parameters, inspect.signature(MODULES[operator]).parameters
    names = [name for name in theirs if name not in ("device", "dtype")]
    assert [*ours][: len(names)] == names
    assert all(ours[name].default == theirs[name].default for name in names if not name.endswith("features"))


def test_texts():
    assert Bilinear(20, 30, 40).describe() == "20, 30 → 40"
    assert Bilinear(out_features=1, bias=False).describe() == "?, ? → 1 no bias"
    assert CosineSimilarity(2).describe() == "dim 2"
    assert PairwiseDistance(1.0, keepdim=True).describe() == "p 1, keepdim"
    assert (Bilinear.family, CosineSimilarity.family, PairwiseDistance.family) == ("dense", "merge", "merge")
