import graphviz
import pytest
import torch

from graphdl import CrossEntropyLoss, Item, Linear, MSELoss, Network, Operator, Sum, Tanh, rendering

X = torch.linspace(-1, 1, 10).reshape(5, 2)


class Halves(Operator):
    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), None

    def backward(self, p, saved, dy):
        return (torch.cat(dy, 1),), {}


def supervised():
    operators = {"fc": Linear(2, 3), "loss": MSELoss()}
    return Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0)


def unsized():
    return Network({"a": Linear(out_features=4), "b": Linear(out_features=1)}, {"x": ["a"], "a": ["b"]}, seed=0)


def test_repr_counts_operators_and_parameters_and_names_the_ends():
    assert repr(supervised()) == "Network(2 operators, 9 parameters, inputs x and target, outputs loss)"


def test_repr_leaves_out_parameters_that_do_not_exist_yet():
    assert repr(unsized()) == "Network(2 operators, inputs x, outputs b)"
    assert repr(unsized().build({"x": (3,)})) == "Network(2 operators, 21 parameters, inputs x, outputs b)"


def test_repr_of_many_ends_is_short():
    net = Network({k: Tanh() for k in range(5_000)}, {"x": list(range(5_000))})
    assert repr(net).startswith("Network(5,000 operators, 0 parameters, inputs x, outputs 0, 1, ")
    assert repr(net).endswith("and 4989 more)")


@pytest.mark.parametrize("x", [(5, 2), [5, 2], torch.Size([5, 2]), X])
def test_shapes_of_every_node_with_the_batch_axis(x):
    assert supervised().shapes({"x": x, "target": (5, 3)}) == {
        "x": (5, 2),
        "target": (5, 3),
        "fc": (5, 3),
        "loss": (),
    }


def test_shapes_as_far_as_the_inputs_lead():
    assert supervised().shapes({"x": (50, 2)}) == {"x": (50, 2), "fc": (50, 3)}
    assert supervised().shapes({}) == {}


def test_shapes_of_a_tuple_of_outputs():
    net = Network({"split": Halves(), "item": Item(0)}, {"x": ["split"], "split": ["item"]})
    assert net.shapes({"x": (5, 3)}) == {"x": (5, 3), "split": ((5, 2), (5, 1)), "item": (5, 2)}


def test_shapes_compute_and_record_nothing():
    net = supervised()
    net.forward({"x": X, "target": torch.zeros(5, 3)})
    net.shapes({"x": (10**9, 2), "target": (10**9, 3)})
    assert net.values["fc"].shape == (5, 3)


def test_shapes_make_no_parameters():
    net = unsized()
    assert net.shapes({"x": (5, 3)})["b"] == (5, 1)
    assert repr(net) == "Network(2 operators, inputs x, outputs b)"
    assert net.shapes({"x": (5, 7)})["b"] == (5, 1)


def test_class_indices_are_a_shape_too():
    net = Network({"loss": CrossEntropyLoss()}, {"x": ["loss"], "class": ["loss"]})
    assert net.shapes({"x": (5, 3), "class": (5,)})["loss"] == ()


def test_build_infers_sizes_without_the_batch_axis_and_returns_the_network():
    net = unsized()
    assert net.build({"x": (3,)}) is net
    assert net.parameters["a.weight"].shape == (4, 3)
    assert net.parameters["b.weight"].shape == (1, 4)


def test_build_needs_only_the_inputs_that_sizes_follow_from():
    operators = {"a": Linear(out_features=4), "loss": MSELoss()}
    net = Network(operators, {"x": ["a"], "a": ["loss"], "target": ["loss"]})
    assert net.build({"x": (3,)}).parameters["a.weight"].shape == (4, 3)


def test_to_build_again_keeps_the_parameters():
    net = unsized().build({"x": (3,)})
    before = net.state_dict()
    net.build({"x": (3,)})
    assert all(tensor.equal(before[name]) for name, tensor in net.state_dict().items())


def test_a_diagram_has_every_node():
    net = supervised()
    net.forward({"x": X, "target": torch.zeros(5, 3)})
    digraph = net.diagram(title="Two layers")
    assert isinstance(digraph, graphviz.Digraph)
    for text in ("Two layers", "x", "fc", "Linear", "loss", "MSELoss", "target"):
        assert text in digraph.source


def test_shapes_are_drawn_once_they_are_known():
    net = unsized()
    before = net.diagram().source
    net.build({"x": (7,)})
    assert net.diagram().source != before


@pytest.mark.skipif(not rendering.available(), reason="neither Graphviz nor pygraphviz is installed")
@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_render_writes_a_picture(tmp_path, suffix, start):
    path = tmp_path / f"net.{suffix}"
    assert supervised().render(path) == path
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_render_writes_dot(tmp_path, theme):
    assert "digraph" in supervised().render(tmp_path / "net.dot", theme=theme).read_text()


def test_a_notebook_shows_the_picture_or_the_text(monkeypatch):
    net = Network({"s": Sum()}, {"a": ["s"], "b": ["s"]})
    bundle = net._repr_mimebundle_()
    assert bundle["text/plain"] == repr(net)
    assert ("<svg" in bundle.get("image/svg+xml", "")) is rendering.available()
    monkeypatch.setattr(rendering.drawing, "available", lambda: False)
    assert net._repr_mimebundle_(include=None, exclude=None) == {"text/plain": repr(net)}


def test_labels_of_classes_are_integers_in_a_diagram():
    net = Network({"fc": Linear(2, 2), "loss": CrossEntropyLoss()}, {"x": ["fc"], "fc": ["loss"], "label": ["loss"]})
    assert "label · input · scalar i64" in net.build({"x": (2,), "label": ()}).diagram().source
    net.forward({"x": torch.zeros(3, 2), "label": torch.full((3, 2), 0.5)})
    assert "label · input · 2 f32" in net.diagram().source
