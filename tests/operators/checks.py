"""The checks that every operator must pass, each a function of a Case."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from graphdl import Feed, Identity, Item, Network, Operator, check_gradients
from graphdl.errors import GradientError
from graphdl.graph import passes_gradient
from graphdl.operators.operator import EVERYTHING
from graphdl.registry import is_registered
from tests.operators.case import Case, Outcome, assert_same, by_autograd, by_hand, compare, elements, fed, upstream

FAULT = 1.0005


def agrees_with_autograd(case: Case) -> None:
    for seed in range(3):
        compare(case, *case.draw(seed=seed))


def agrees_with_differences(case: Case) -> None:
    _, xs = case.draw()
    assert check_gradients(case.operator, *xs) < 1e-7


class Handwritten(torch.autograd.Function):
    """An operator as autograd sees it, for torch.autograd.gradcheck: its outputs of floats."""

    @staticmethod
    def forward(ctx: Any, case: Case, buffers: dict[str, Tensor], names: tuple[str, ...], *tensors: Tensor) -> Any:
        ctx.operator, ctx.names, ctx.p = case.complete(), names, buffers | dict(zip(names, tensors, strict=False))
        y, ctx.held = case.forward(ctx.p, tensors[len(names) :])
        ctx.count = len(tensors) - len(names)
        ctx.floats, ctx.several = [e.is_floating_point() for e in elements(y)], isinstance(y, tuple)
        ctx.set_materialize_grads(not ctx.several)
        return tuple(e.clone() for e in elements(y) if e.is_floating_point())

    @staticmethod
    def backward(ctx: Any, *dys: Tensor | None) -> Any:
        given = iter(dys)
        dy = tuple(next(given) if floats else None for floats in ctx.floats)
        dxs, dps = ctx.operator.backward(ctx.p, ctx.held, dy if ctx.several else dy[0])
        return None, None, None, *(dps[name] for name in ctx.names), *fed(dxs, ctx.count)


def passes_gradcheck(case: Case) -> None:
    p, xs = case.draw()
    leading = case.parameters(p)
    tensors = [x.requires_grad_(x.is_floating_point()) for x in (*leading.values(), *xs)]
    buffers, names = {name: p[name] for name in p if name not in leading}, tuple(leading)
    with torch.no_grad():
        outputs = case.forward(p, xs)[0]
    if any(e.is_floating_point() for e in elements(outputs)) and any(tensor.requires_grad for tensor in tensors):
        apply = functools.partial(Handwritten.apply, case, buffers, names)
        one = not isinstance(outputs, tuple)  # of a tuple of outputs, backward may rely on one that is used
        assert torch.autograd.gradcheck(apply, tensors, atol=1e-7, check_undefined_grad=one)


def layouts(x: Tensor) -> list[Tensor]:
    """Non-contiguous tensors of the same shape; all but the last, which repeats one row, hold the same numbers."""
    strided = torch.stack([x, torch.full_like(x, 7)], -1)[..., 0]
    if not x.dim():
        return [strided]
    images = [x.contiguous(memory_format=torch.channels_last)] if x.dim() == 4 else []
    return [strided, x.transpose(0, -1).contiguous().transpose(0, -1), *images, x[:1].expand_as(x)]


def takes_any_layout(case: Case) -> None:
    p, xs = case.draw()
    for arranged in zip(*map(layouts, xs), strict=False):
        compare(case, p, arranged)
    y, _ = case.forward(p, xs)
    arrangements = zip(*([*layouts(d), d.new_tensor(0.7).expand_as(d)] for d in elements(upstream(y))), strict=False)
    for dys in arrangements:
        dy = dys if isinstance(y, tuple) else dys[0]
        for arranged in (xs, [layouts(x)[-2:][0] for x in xs]):
            assert_same(by_hand(case, p, arranged, dy), by_autograd(case, p, arranged, dy))


def takes_small_batches(case: Case) -> None:
    p, xs = case.draw()
    for rows in case.small if case.batched and xs else ():
        compare(case, p, [x[:rows] for x in xs])


def works_in_single_precision(case: Case) -> None:
    p, xs = case.draw(torch.float32)
    dy = upstream(case.forward(p, xs)[0])
    found = by_hand(case, p, xs, dy)
    assert_same(found, by_autograd(case, p, xs, dy), 1e-4, 1e-5)
    assert all(dp is not None and dp.dtype is torch.float32 for dp in found.dps.values())
    assert all(dx is None or dx.dtype is x.dtype for x, dx in zip(xs, found.dxs, strict=True) if x.is_floating_point())


def writes_into_nothing(case: Case) -> None:
    p, xs = case.draw()
    operator = case.complete()
    first = by_hand(case, p, xs, upstream(case.forward(p, xs)[0]))
    dy = upstream(first.y)
    given = [*p.values(), *xs, *elements(dy)]
    before, versions = [tensor.clone() for tensor in given], [tensor._version for tensor in given]
    y, saved = case.forward(p, xs)
    for _ in range(2):  # what was saved serves twice
        dxs, dps = operator.backward(p, saved, dy)
        assert_same(Outcome(y, fed(dxs, len(xs)), dict(dps)), first, 0, 0)
    assert [tensor._version for tensor in given] == versions
    assert all(map(torch.equal, given, before))


def has_the_gradients_that_it_declares(case: Case) -> None:
    operator, (p, xs) = case.complete(), case.draw()
    found = by_hand(case, p, xs, upstream(case.forward(p, xs)[0]))
    for slot, (x, dx) in enumerate(zip(xs, found.dxs, strict=True)):
        if x.is_floating_point():
            assert (dx is not None) == passes_gradient(operator, slot), f"slot {slot}"


def leaves_out_what_nobody_needs(case: Case) -> None:
    operator = case.complete()
    if "needs" not in inspect.signature(operator.backward).parameters:
        return
    p, xs = case.draw()
    y, saved = case.forward(p, xs)
    dy = upstream(y)
    full = by_hand(case, p, xs, dy)
    names = [*(operator.slots or map(str, range(len(xs))))][: len(xs)]
    names += full.dps
    sizes = range(len(names) + 1) if len(names) < 9 else (0, 1, len(names) - 1)
    for size in sizes:
        for needs in itertools.combinations(names, size):
            places = {name: torch.full_like(full.dps[name], 7) if name in p else None for name in needs}
            dxs, dps = operator.backward(p, saved, dy, places)
            for name, found, expected in [
                *zip(names, dxs, full.dxs, strict=False),
                *((name, dps.get(name), full.dps[name]) for name in full.dps),
            ]:
                if name in needs or found is not None:
                    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    everything, _ = operator.backward(p, saved, dy, EVERYTHING)
    assert [dx is None for dx in fed(everything, len(xs))] == [dx is None for dx in full.dxs]


def runs_without_data(case: Case) -> None:
    p, xs = case.draw()
    y, _ = case.forward(p, xs)
    state = torch.get_rng_state()
    for dtype in (torch.float64, None):  # in shape inference, integers arrive as floats where only their shape is known
        without = {name: tensor.to("meta") for name, tensor in p.items()}
        hollow, saved = case.complete().forward(
            without,
            *(x.to("meta", x.dtype if x.is_floating_point() else dtype) for x in xs),
            training=case.training,
        )
        for found, expected in zip(elements(hollow), elements(y), strict=True):
            assert (found.shape, found.dtype, found.device.type) == (expected.shape, expected.dtype, "meta")
        dy = tuple(map(torch.empty_like, hollow)) if isinstance(hollow, tuple) else torch.empty_like(hollow)
        dxs, dps = case.complete().backward(without, saved, dy)  # as net.cost does
        assert all(dx is None or dx.shape == x.shape for dx, x in zip(dxs, xs, strict=False))
        assert {name: dp.shape for name, dp in dps.items()} == {name: p[name].shape for name in dps}
    assert torch.equal(torch.get_rng_state(), state)


def network(case: Case, p: dict[str, Tensor], xs: Sequence[Tensor]) -> Network:
    """The operator between its inputs and two consumers, or two of each element of a tuple of outputs.

    The second takes back -0.5 of its gradient.
    """
    connectivity: dict[Any, list[Any]] = {f"x{k}": [Feed("node", slot=k)] for k in range(len(xs))}
    operators, feeds = {"node": case.operator}, []
    y, _ = case.forward(p, xs)
    for k in range(len(elements(y))):
        consumer = Item(k) if isinstance(y, tuple) else Identity()
        operators |= {f"left{k}": consumer, f"right{k}": consumer}
        feeds += [f"left{k}", Feed(f"right{k}", gradient=-0.5)]
    net = Network(operators, connectivity | {"node": feeds}, dtype=torch.float64)
    net.build({f"x{k}": x.to("meta") for k, x in enumerate(xs)})
    net.load_state_dict({f"node.{name}": tensor for name, tensor in p.items()})
    return net


def works_in_a_network(case: Case) -> None:
    p, xs = case.draw()
    net = network(case, p, xs)
    chance = case.chance(xs, generator=torch.Generator().set_state(net.generator.get_state()))
    outputs = net.forward({f"x{k}": x for k, x in enumerate(xs)}, training=case.training)
    gradients = {key: upstream(outputs[key], seed) for seed, key in enumerate(outputs)}
    sent = net.backward(gradients)
    count = len(outputs) // 2
    ys = tuple(outputs[f"left{k}"] for k in range(count))
    dys = tuple(gradients[f"left{k}"] - 0.5 * gradients[f"right{k}"] for k in range(count))
    several = isinstance(net.values["node"], tuple)
    found = Outcome(ys if several else ys[0], [sent.get(f"x{k}") for k in range(len(xs))], {})
    found.dps.update({name: net.gradients[f"node.{name}"] for name in case.parameters(p)})
    assert_same(found, by_autograd(case, p, xs, dys if several else dys[0], chance))


def can_be_stored(case: Case) -> None:
    assert is_registered(type(case.operator))
    p, xs = case.draw()
    net = network(case, p, xs)
    again = Network.from_dict(json.loads(json.dumps(net.to_dict())), dtype=torch.float64)
    assert again.engine.operators["node"] == case.complete()
    again.load_state_dict(net.state_dict())
    again.generator.set_state(net.generator.get_state())
    inputs = {f"x{k}": x for k, x in enumerate(xs)}
    torch.testing.assert_close(again.forward(inputs), net.forward(inputs), rtol=0, atol=0)


def is_frozen_settings(case: Case) -> None:
    operator = case.operator
    assert dataclasses.replace(operator) == operator == copy.deepcopy(operator)
    assert hash(dataclasses.replace(operator)) == hash(operator)
    assert operator != Identity() or isinstance(operator, Identity)
    with pytest.raises(dataclasses.FrozenInstanceError):
        operator.anything = 1  # type: ignore[attr-defined]
    assert isinstance(operator.describe(), str)
    assert isinstance(operator.expects(*case.draw()[1]), str)


def planted(operator: Operator, what: str, place: str | int) -> Operator:
    """The operator with one "value", or one gradient of an "input" or a "parameter", wrong by 0.05 %."""

    def wrong(each: Tensor | None) -> Tensor | None:
        return None if each is None else each * FAULT

    def faulty(role: str, found: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(wrong(each) if (role, k) == (what, place) else each for k, each in enumerate(found))

    def forward(self: Operator, p: Any, *xs: Any, training: bool, **chance: Any) -> Any:
        y, saved = type(operator).forward(operator, p, *xs, training=training, **chance)
        return faulty("value", y) if isinstance(y, tuple) else faulty("value", (y,))[0], saved

    def backward(self: Operator, p: Any, saved: Any, dy: Any) -> Any:
        dxs, dps = type(operator).backward(operator, p, saved, dy)
        return faulty("input", dxs), {name: wrong(dp) if name == place else dp for name, dp in dps.items()}

    changed = copy.copy(operator)
    cls = type(f"Faulty{type(operator).__name__}", (type(operator),), {"forward": forward, "backward": backward})
    object.__setattr__(changed, "__class__", cls)
    return changed


def shows_every_fault(case: Case) -> None:
    """The checks above are of use: each sees a small fault in any one output or gradient."""
    p, xs = case.draw()
    y, _ = case.forward(p, xs)
    expected = by_autograd(case, p, xs, upstream(y))
    varied = [("input", k) for k, dx in enumerate(expected.dxs) if dx is not None and dx.any()]
    varied += [("parameter", name) for name in expected.dps]
    for what, place in [*(("value", k) for k, e in enumerate(elements(y)) if e.numel()), *varied]:
        operator = planted(case.complete(), what, place)
        with pytest.raises(AssertionError, match="^value" if what == "value" else f"^gradient of (input )?{place}:"):
            compare(case, p, xs, operator)
        if varied and case.training and (what != "value" or elements(y)[place].is_floating_point()):
            with pytest.raises(GradientError):
                check_gradients(operator, *xs)


CHECKS = [
    agrees_with_autograd,
    agrees_with_differences,
    passes_gradcheck,
    takes_any_layout,
    takes_small_batches,
    works_in_single_precision,
    writes_into_nothing,
    has_the_gradients_that_it_declares,
    leaves_out_what_nobody_needs,
    runs_without_data,
    works_in_a_network,
    can_be_stored,
    is_frozen_settings,
    shows_every_fault,
]

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
