"""python -m tests.torch_samples [NAME ...]: PyTorch's own samples of its modules, by graphdl's operators.

Prints a line for each module, and the names and reasons of all samples that were left out. torch.testing's table of
samples locks flags of torch.backends when it is imported, so this runs in a process of its own.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

import graphdl
from graphdl import GraphDLError, Network
from tests.torch_samples.adapters import NotOfferedError, declared, inputs_by_slot
from tests.torch_samples.comparison import compare, names, network


def shared(names: list[str]) -> Iterator[Any]:
    """The modules that graphdl has too."""
    for info in module_db:
        name = info.module_cls.__name__
        known = hasattr(graphdl, name.removeprefix("Lazy")) or (name[-5:-2] == "Pad" and hasattr(graphdl, "Pad"))
        if known and (not names or name in names):
            yield info


def samples(info: Any, make: Any, training: bool) -> list[Any]:
    torch.manual_seed(0)
    return list(make(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training))


def run(info: Any, sample: Any, training: bool) -> None:
    """One sample in one mode."""
    given = sample.constructor_input
    if info.is_lazy and sample.desc == "no_batch_dim":
        raise NotOfferedError("sizes are inferred from inputs with a batch axis only")
    operator = declared(info.module_cls, given)
    module = info.module_cls(*given.args, **given.kwargs).double()
    call = sample.forward_input
    if info.is_lazy:
        module(*call.args)  # its sizes follow from the first input
    inputs = inputs_by_slot(module, operator, call)
    compare(module, operator, call.args, call.kwargs, inputs, training=training)


ACCEPTED = {"Expected floating point type for target with class probabilities": "one-hot targets of integers are taken"}
"""Errors of torch's that graphdl has not, by intention."""


def refused(info: Any, wrong: Any) -> str:
    """How a graphdl error answers a declared error; what else happened otherwise."""
    sample = wrong.module_error_input
    try:
        operator = declared(info.module_cls, sample.constructor_input)
        if wrong.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            return "was constructed"
        module = info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs)
        inputs = inputs_by_slot(module, operator, sample.forward_input)
        net: Network = network(operator, inputs, 1)
        net.forward({name: inputs[slot].detach() for slot, name in names(inputs).items()})
    except GraphDLError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "was computed"


def main(names: list[str]) -> int:
    passed, errors, left_out, failures = 0, 0, Counter[str](), 0
    for info in shared(names):
        count, name = 0, info.module_cls.__name__
        for training in (True, False):
            for k, sample in enumerate(samples(info, info.module_inputs_func, training)):
                where = f"{name}, sample {k} {sample.desc!r}, {'training' if training else 'inference'}"
                try:
                    run(info, sample, training)
                    count += 1
                except NotOfferedError as reason:
                    left_out[f"{name}: {reason}"] += 1
                except Exception as error:
                    failures += 1
                    print(f"FAILED {where}: {type(error).__name__}: {str(error)[:600]}")
                    if "-v" in sys.argv:
                        traceback.print_exc()
        passed += count
        wrongs = samples(info, info.module_error_inputs_func, True) if info.module_error_inputs_func else []
        for k, wrong in enumerate(wrongs):
            if why := ACCEPTED.get(wrong.error_regex):
                left_out[why] += 1
            elif found := refused(info, wrong):
                failures += 1
                print(f"FAILED {name}, error input {k} ({wrong.error_regex}): {found}")
            else:
                errors += 1
        print(f"{name}: {count} samples, {len(wrongs)} error inputs")
    for what, count in left_out.items():
        print(f"left out {count}: {what}")
    print(f"{passed} samples and {errors} error inputs passed, {failures} failed, {sum(left_out.values())} left out")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main([name for name in sys.argv[1:] if not name.startswith("-")]))
