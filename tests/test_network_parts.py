"""Parts of a network: networks over the same tensors, cut out between nodes; and predictions of chosen nodes."""

import copy
import gc
import itertools
from dataclasses import dataclass

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Concat,
    Dropout,
    Feed,
    InputSlot,
    Linear,
    MSELoss,
    Network,
    Operator,
    ReLU,
    Shared,
    Subtract,
    Sum,
    Tanh,
    check_gradients,
    fit,
)
from graphdl.errors import MissingInputError, SettingError, UnknownNodeError, UnreachableError
from graphdl.optim import SGD, Adam
from tests.probe import Probe

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(12, 3, generator=GENERATOR, dtype=torch.float64)
Z = torch.randn(12, 2, generator=GENERATOR, dtype=torch.float64)


def autoencoder(**settings):
    operators = {"encode": Linear(3, 4), "z": Linear(4, 2), "decode": Linear(2, 4), "tanh": Tanh(),
                 "image": Linear(4, 3), "loss": MSELoss()}  # fmt: skip
    edges = {"x": ["encode"], "encode": ["z"], "z": ["decode"], "decode": ["tanh"], "tanh": ["image"],
             "image": ["loss"], "target": ["loss"]}  # fmt: skip
    return Network(operators, edges, **{"seed": 0, "dtype": torch.float64, **settings})


def test_a_part_computes_what_the_whole_computes_between_its_nodes():
    net = autoencoder()
    net.forward({"x": X, "target": X})
    decoder = net.part(inputs=["z"], outputs=["image"])
    assert (decoder.inputs, decoder.outputs, decoder.losses) == (("z",), ("image",), ())
    assert decoder.order == ("z", "decode", "tanh", "image")
    assert decoder.predict(net.values["z"]).equal(net.values["image"])
    encoder = net.part(inputs=["x"], outputs=["z"])
    assert encoder.predict(X).equal(net.values["z"])
    assert check_gradients(decoder, {"z": Z}) < 1e-7


def test_a_part_holds_the_same_tensors():
    net = autoencoder()
    decoder = net.part(["z"], ["image"])
    assert list(decoder.parameters) == ["decode.weight", "decode.bias", "image.weight", "image.bias"]
    for name, tensor in decoder.parameters.items():
        assert tensor is net.parameters[name]
    decoder.parameters["image.bias"] = torch.full((3,), 7.0)
    assert net.parameters["image.bias"].tolist() == [7, 7, 7]
    net.load_state_dict({name: tensor + 1 for name, tensor in net.state_dict().items()})
    assert decoder.parameters["image.bias"].tolist() == [8, 8, 8]


def test_parts_draw_nothing_while_they_are_made():
    net = autoencoder()
    before = net.generator.get_state()
    assert net.part(["z"], ["image"]).generator is net.generator
    assert net.generator.get_state().equal(before)


@pytest.mark.parametrize("way", [{}, {"compile": True}, {"recompute": ["tanh"]}], ids=str)
@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9, weight_decay=0.1), Adam(lr=0.05)], ids=str)
def test_training_a_part_changes_its_nodes_in_the_whole_and_no_others(way, optimizer):
    net = autoencoder()
    part = net.part(inputs=["z", "target"], outputs=["loss"])
    assert part.losses == ("loss",)
    assert part.predictions == ("image",)
    twin = Network(part.operators, part.connectivity, dtype=torch.float64)
    twin.load_state_dict(part.state_dict())
    before = net.state_dict()
    for trained in (part, twin):
        history = fit(trained, {"z": Z, "target": X}, optimizer=optimizer, epochs=4, batch_size=6, seed=0,
                      progress=False, **way)  # fmt: skip
        assert history["loss"][-1] < history["loss"][0]
    changed = {name for name, tensor in net.state_dict().items() if not tensor.equal(before[name])}
    assert changed == set(part.parameters)
    for name, tensor in twin.state_dict().items():
        assert net.parameters[name].equal(tensor)
    gaps = net.engine.store.flat.clone()
    for extent in net.engine.store.extents:
        extent.view(gaps).zero_()
    assert not gaps.any()


def test_training_the_whole_changes_the_part():
    net = autoencoder()
    part = net.part(["z"], ["image"])
    before = part.predict(Z)
    fit(net, {"x": X, "target": X}, optimizer=Adam(lr=0.1), epochs=2, batch_size=6, progress=False)
    assert not part.predict(Z).equal(before)
    assert part.predict(net.predict(X, outputs=["z"])).allclose(net.predict(X))


def adversarial():
    """A generator and a discriminator that sees its images, and real ones by a shared branch."""
    operators = {"g": Linear(2, 3), "d1": Linear(3, 4), "relu": ReLU(), "d2": Linear(4, 1), "loss": MSELoss()}
    edges = {"noise": ["g"], "g": ["d1"], "d1": ["relu"], "relu": ["d2"], "d2": ["loss"], "label": ["loss"]}
    return Network(operators, edges, seed=0, dtype=torch.float64)


def test_two_networks_are_trained_against_each_other():
    net = adversarial()
    judge = net.part(inputs=["g", "label"], outputs=["loss"])
    net.freeze("d1", "relu", "d2")
    assert judge.engine.frozen == frozenset()
    steppers = Adam(lr=0.1).bind(judge), Adam(lr=0.1).bind(net)
    for _ in range(3):
        before = net.state_dict()
        for images, label in ((X, 1.0), (net.predict(Z, outputs=["g"]), 0.0)):
            judge.forward({"g": images, "label": torch.full((12, 1), label)})
            judge.backward()
            steppers[0].step()
        assert net.parameters["g.weight"].equal(before["g.weight"])
        assert not net.parameters["d1.weight"].equal(before["d1.weight"])
        before = net.state_dict()
        net.forward({"noise": Z, "label": torch.ones(12, 1)})
        net.backward()
        steppers[1].step()
        assert not net.parameters["g.weight"].equal(before["g.weight"])
        assert net.parameters["d1.weight"].equal(before["d1.weight"])


def test_what_is_frozen_in_the_whole_starts_frozen_in_the_part():
    net = autoencoder()
    net.freeze("decode", "encode")
    part = net.part(["z"], ["image"])
    assert part.engine.frozen == {"decode"}
    part.unfreeze("decode")
    assert net.engine.frozen == {"decode", "encode"}


def test_a_part_of_a_part():
    net = autoencoder()
    part = net.part(["x"], ["image"]).part(["z"], ["tanh"])
    assert part.parameters["decode.weight"] is net.parameters["decode.weight"]
    assert part.predict(Z).equal(net.part(["z"], ["tanh"]).predict(Z))


def test_buffers_belong_to_both():
    operators = {"fc": Linear(3, 3), "norm": BatchNorm1d(3), "drop": Dropout(0.5), "out": Linear(3, 2)}
    net = Network(operators, {a: [b] for a, b in itertools.pairwise(["x", *operators])}, seed=0, dtype=torch.float64)
    part = net.part(["fc"], ["out"])
    assert part.buffers["norm.running_mean"] is net.buffers["norm.running_mean"]
    part.forward(X)
    assert net.buffers["norm.num_batches_tracked"] == 1
    assert net.buffers["norm.running_mean"].any()


def test_the_input_of_a_part_may_be_the_owner_of_shared_parameters():
    operators = {"a": Linear(3, 3), "b": Shared("a"), "c": Shared("b"), "d": Linear(3, 3), "e": Shared("d")}
    net = Network(operators, {"x": ["a"], "a": ["b"], "b": ["c"], "c": ["d"], "d": ["e"]}, seed=0, dtype=torch.float64)
    part = net.part(["a"], ["e"])
    assert part.operators["c"] == Shared("b")
    assert part.parameters["b.weight"] is net.parameters["a.weight"]
    assert list(part.parameters) == ["b.weight", "b.bias", "d.weight", "d.bias"]
    assert part.predict(net.predict(X, outputs=["a"])).equal(net.predict(X))
    part.forward(X)
    part.backward({"e": X})
    stepper = SGD(lr=0.1).bind(part)
    expected = net.parameters["a.weight"] - 0.1 * part.gradients["b.weight"]
    stepper.step()
    assert net.parameters["a.weight"].allclose(expected)


def test_slots_edges_and_order_are_kept():
    operators = {"a": Linear(3, 2), "b": Linear(3, 2), "cat": Concat(), "diff": Subtract(), "sum": Sum()}
    edges = {"x": ["a", "b"], "b": [Feed("diff", gradient=0.5), "cat"], "a": ["cat", "diff"], "cat": ["sum", "sum"],
             "diff": []}  # fmt: skip
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    part = net.part(["b", "a"], ["sum", "diff"])
    a, b = (net.predict(X, outputs=[key]) for key in ("a", "b"))
    found = part.forward({"a": a, "b": b})
    assert list(found) == ["sum", "diff"]
    assert found["diff"].equal(b - a)
    assert found["sum"].equal(2 * torch.cat([b, a], 1))
    sent = part.backward({"diff": a})
    assert (sent["a"].equal(-a), sent["b"].equal(0.5 * a)) == (True, True)


def test_an_output_may_be_read_by_another():
    net = autoencoder()
    part = net.part(["x"], ["encode", "z"])
    assert part.outputs == ("encode", "z")
    found = part.predict(X)
    assert found["z"].equal(net.predict(X, outputs=["z"]))
    again = copy.deepcopy(part)
    assert again.outputs == ("encode", "z")
    assert again.predict(X)["encode"].equal(found["encode"])
    again.parameters["z.bias"] = torch.zeros(2)
    assert part.predict(X)["z"].equal(found["z"])


def test_implicit_inputs_stay_inputs():
    net = Network({"a": Linear(3, 2), "loss": MSELoss(), "free": MSELoss()}, {"a": ["loss"], "free": []}, seed=0)
    assert net.part(["a", "loss"], ["loss"]).inputs == ("a", "loss")
    assert net.part(["free.target", "free.prediction"], ["free"]).inputs == ("free.prediction", "free.target")
    whole = Network({1: Linear(2, 1), 2: Tanh()}, {1: [2]}, seed=0)
    assert whole.part([1], [2]).order == (1, 2)  # 1 is an input of the network, too


def test_an_optional_slot_stays_empty():
    @dataclass(frozen=True)
    class Maybe(Operator):
        slots = ("x", InputSlot("scale", optional=True), "shift")

        def forward(self, p, x, scale, shift, *, training):
            return x + shift if scale is None else scale * x + shift, None

        def backward(self, p, saved, dy):
            return (dy, None, dy), {}

    edges = {"x": ["a"], "a": [Feed("m", slot="shift")]}
    net = Network({"a": Tanh(), "m": Maybe()}, edges, dtype=torch.float64)
    assert net.part(["a", "m"], ["m"]).forward({"a": X, "m": 2 * X})["m"].equal(2 * X + X)


def test_a_part_is_stored_and_drawn():
    part = autoencoder().part(["z", "target"], ["loss"])
    again = Network.from_dict(part.to_dict(), dtype=torch.float64)
    assert (again.inputs, again.predictions) == (("z", "target"), ("image",))
    again.load_state_dict(part.state_dict())
    assert again.predict(Z).equal(part.predict(Z))
    assert "prediction: image" in part.summary()
    assert "z" in part.diagram().source
    assert part.cost({"z": (5, 2), "target": (5, 3)}, Adam()).peak > 0


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "text"),
    [
        (["z"], ["loss"], MissingInputError, r"part: loss cannot be computed from 'z' alone, but also from 'target', "
         r"which loss reads\. Add it to inputs"),
        (["target"], ["image"], MissingInputError, "also from 'x', which encode reads"),
        (["z", "target"], ["image"], UnreachableError, "image does not depend on 'target': leave that out of inputs"),
        (["z", "x"], ["image"], UnreachableError, "does not depend on 'x'"),
        (["zz"], ["image"], UnknownNodeError, r"part\(inputs=.*no node 'zz'\. Did you mean 'z'"),
        (["z"], ["imagee"], UnknownNodeError, r"part\(outputs=.*no node 'imagee'\. Did you mean 'image'"),
        ("z", ["image"], SettingError, r"part\(inputs=\[\.\.\.\]\) takes a list of names, such as \['x'\], not 'z'"),
        (["z"], [], SettingError, "at least one name"),
        (["z", "image"], ["image"], SettingError, "'image' is an output and an input at once"),
        (["x"], ["x"], SettingError, "'x' is an output and an input at once"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_out_is_refused(inputs, outputs, error, text):
    with pytest.raises(error, match=text):
        autoencoder().part(inputs, outputs)


def test_a_part_needs_known_sizes():
    net = Network({"a": Linear(out_features=2), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=0)
    with pytest.raises(MissingInputError, match=r"call net\.build"):
        net.part(["x"], ["a"])
    assert net.build({"x": (3,)}).part(["x"], ["a"]).parameters["a.weight"] is net.parameters["a.weight"]


def test_tensors_that_networks_share_are_not_moved():
    net = autoencoder()
    part = net.part(["z"], ["image"])
    for shared in (net, part):
        with pytest.raises(SettingError, match="Move the whole network first"):
            shared.to(dtype=torch.float32)
        assert shared.dtype is torch.float64
        assert shared.to(dtype=torch.float64) is shared
    assert part.predict(Z).dtype is torch.float64
    del part, shared
    gc.collect()
    assert net.to(dtype=torch.float32).parameters["z.bias"].dtype is torch.float32


def test_chosen_nodes_are_predicted_from_what_they_need():
    probe = Probe()
    operators = {"a": Linear(3, 2), "far": probe, "b": Linear(2, 1), "loss": MSELoss()}
    net = Network(operators, {"x": ["a"], "a": ["b", "far"], "b": ["loss"], "y": ["loss"]}, seed=0, dtype=torch.float64)
    a = net.predict(X, outputs=["a"])
    assert a.equal(torch.nn.functional.linear(X, net.parameters["a.weight"], net.parameters["a.bias"]))
    found = net.predict({"x": X}, outputs=("b", "a"))
    assert list(found) == ["b", "a"]
    assert found["b"].equal(net.predict(X))
    assert probe.calls["forward"] == 0
    assert net.predict({"x": X, "y": Z[:, :1]}, outputs=["loss"]).shape == ()
    with pytest.raises(MissingInputError, match="2 inputs are needed"):
        net.predict(X, outputs=["loss"])


@pytest.mark.parametrize(
    ("outputs", "error", "text"),
    [
        (["aa"], UnknownNodeError, r"predict\(outputs=.*no node 'aa'\. Did you mean 'a'"),
        ("a", SettingError, r"takes a list of names, such as \['x'\], not 'a'"),
        ([], SettingError, "at least one name"),
    ],
)
def test_what_cannot_be_predicted_is_refused(outputs, error, text):
    net = Network({"a": Linear(3, 2), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=0)
    with pytest.raises(error, match=text):
        net.predict(X, outputs=outputs)
