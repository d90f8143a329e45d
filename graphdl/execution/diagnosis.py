"""Why an operator failed: at which node, on which inputs from where, and what it expected.

Called only after a failure, so that the passes themselves check nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphdl.errors import GradientError, GraphDLError, OperatorError, ShapeError
from graphdl.operators.tuples import Shape, fits, shape_of

if TYPE_CHECKING:
    from graphdl.execution.plan import Plan, Step


RETURNS = (
    "A backward returns a tuple of one gradient or None for each input, and a dictionary of its parameters' gradients; "
    "graphdl.check_gradients(operator, *example_inputs) tests it."
)
WITHOUT_DATA = (
    "cannot run on tensors without data, on which net.cost, net.shapes and net.build run: it reads numbers, as by "
    ".item(), float(), .tolist(), .numpy(), an if or a mask as an index. Compute with tensors, as by torch.where."
)
SHAPE_COMPLAINTS = (RuntimeError, IndexError, ValueError)


def as_tuple(step: Step, gradients: Any) -> tuple[Any, ...]:
    """The gradients of a step's inputs as a tuple; another number of them than of inputs is refused."""
    if isinstance(gradients, Tensor):
        gradients = (gradients,)
    if not isinstance(gradients, (tuple, list)) or len(gradients) != len(step.reads):
        found = len(gradients) if isinstance(gradients, (tuple, list)) else f"a {type(gradients).__name__}"
        raise OperatorError(
            f"{step.name} failed in backward: it returned {found} as gradients of its inputs, and it has "
            f"{len(step.reads)}. {RETURNS}"
        )
    return tuple(gradients)


def check_shape(plan: Plan, step: Step, slot: int, index: int, gradient: Any, shape: Any) -> None:
    """Refuse a gradient that is not shaped like its value: torch would stretch some of a wrong shape."""
    if not fits(gradient, _plain(shape)):
        raise GradientError(
            f"{step.name}: its backward returned a gradient of the shape {shape_of(gradient)} for its input from "
            f"{_origin(plan, index)} (slot {slot}), whose value has the shape {_plain(shape)}. "
            "graphdl.check_gradients(operator, *inputs) tests it."
        )


def _plain(shape: Any) -> Shape:
    return tuple(_plain(each) if isinstance(each, tuple) else each for each in shape)


def unlike_before(step: Step) -> OperatorError:
    """The error to raise when a step that is computed again returns something else than at first."""
    return OperatorError(
        f"{step.name} returned another value when it was computed again, so it cannot be recomputed: it draws random "
        "numbers outside `draw`, or keeps something from call to call. Leave it out of recompute, or draw in `draw`."
    )


class NoPairError(TypeError):
    """A forward or a backward did not return a pair."""


def no_pair(returned: object) -> tuple[Any, Any]:
    """Refuse what is not a pair: a tensor of two rows would unpack into two as well."""
    found = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else f"a {type(returned).__name__}"
    raise NoPairError(found)


def forward_failure(
    plan: Plan, step: Step, values: Sequence[Any] | Mapping[int, Any], p: Mapping[str, Tensor], error: Exception
) -> GraphDLError:
    """The error to raise when `step` could not compute its value."""
    inputs = [values[i] for i in step.reads]
    where = f"{step.name} "
    came = "Its inputs: " + ", ".join(
        f"{_describe(value)} from {_origin(plan, i)}{_unfed(plan, step, i)}"
        for i, value in zip(step.reads, inputs, strict=True)
        if i != plan.absent
    )
    if isinstance(error, NoPairError):
        return OperatorError(
            f"{where}returned something else than a pair: forward returns (output, saved), as in `return y, x`. It "
            f"returned {error}. {came}."
        )
    if _reads_numbers(error):
        return OperatorError(f"{where}{WITHOUT_DATA} {came}.{_torch_says(error)}")
    expected = _expected(step, inputs)
    if isinstance(error, (AttributeError, TypeError)) and any(isinstance(each, tuple) for each in inputs):
        return ShapeError(
            f"{where}cannot take its inputs: a tuple of outputs is not one value. {came}. Put Item(0) between, which "
            "selects the first output."
        )
    if isinstance(error, ShapeError):
        return ShapeError(f"{where}cannot take its inputs: {error}. {came}.{expected}")
    if isinstance(error, SHAPE_COMPLAINTS) and not _works(step, inputs, p, "meta"):
        return ShapeError(f"{where}cannot take its inputs. {came}.{expected}{_torch_says(error)}")
    if isinstance(error, RuntimeError) and _works(step, inputs, p):
        return OperatorError(
            f"{where}cannot mix the types of its inputs and parameters. {came}; its parameters are "
            f"{_parameter_types(p)}. Give floating-point inputs where it computes with them, x.float()."
            f"{_torch_says(error)}"
        )
    return OperatorError(f"{where}failed in forward. {came}.{expected}{_torch_says(error)}")


def backward_failure(step: Step, error: Exception) -> GraphDLError:
    """The error to raise when `step` could not send its gradient back."""
    if _reads_numbers(error):
        return OperatorError(f"{step.name} {WITHOUT_DATA}{_torch_says(error)}")
    what = f"it returned {error}" if isinstance(error, NoPairError) else f"{type(error).__name__}: {_first_line(error)}"
    if isinstance(error, (TypeError, AttributeError)) and "NoneType" in str(error):
        what += ". Of a tuple of outputs, dy is None for each that nothing used"
    return OperatorError(f"{step.name} failed in backward: {what}. {RETURNS}")


def _reads_numbers(error: Exception) -> bool:
    """Whether torch refused a call on a tensor without data, on the device "meta"."""
    return isinstance(error, (RuntimeError, TypeError)) and re.search(r"(\b|_)meta\b", str(error), re.I) is not None


def _works(step: Step, inputs: Sequence[Any], p: Mapping[str, Tensor], device: str | None = None) -> bool:
    """Whether the operator runs once all its inputs have the parameters' type; on "meta", for their shapes alone."""
    dtype = next((value.dtype for value in p.values()), torch.float32)

    def alike(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(alike(element) for element in value)
        if not isinstance(value, Tensor):
            return value
        return value.to(device=device or value.device, dtype=dtype, copy=True)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step.operator.forward({name: alike(value) for name, value in p.items()}, *map(alike, inputs), training=True)
    except Exception:
        return False
    return True


def _expected(step: Step, inputs: Sequence[Any]) -> str:
    try:
        expected = step.operator.expects(*inputs)
    except Exception:  # the inputs cannot be described
        return ""
    return f" Expected {expected}." if expected else ""


def _origin(plan: Plan, index: int) -> str:
    """The node or the input that a value comes from."""
    for name, i in plan.inputs.items():
        if i == index:
            return f"the input {name}"
    return str(plan.steps[index - len(plan.inputs)].key)


def _unfed(plan: Plan, step: Step, index: int) -> str:
    """Why a node reads an input of its own name."""
    return ", since nothing feeds this node" if plan.inputs.get(step.key) == index else ""


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return "a tuple of " + ", ".join(_describe(element) for element in value)
    if not isinstance(value, Tensor):
        return f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _parameter_types(p: Mapping[str, Tensor]) -> str:
    types = sorted({str(value.dtype).removeprefix("torch.") for value in p.values()})
    return ", ".join(types) or "none"


def _torch_says(error: Exception) -> str:
    kind = "" if isinstance(error, SHAPE_COMPLAINTS) else f"{type(error).__name__}: "
    return f" The operation itself said: {kind}{_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
