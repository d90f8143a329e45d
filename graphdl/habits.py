"""Advice for the methods of a torch.nn.Module, which a Network does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from graphdl.errors import SettingError, UnknownAttributeError, did_you_mean

MODES = "net.forward(inputs) runs as in training and records the pass; net.predict(inputs) runs as in inference"
FIT = "fit(net, inputs, targets, optimizer=Adam(lr=1e-3), epochs=10, batch_size=50) trains a network"
TENSORS = "net.parameters and net.buffers are dictionaries {'node.name': tensor}"
NODES = "net.operators is the dictionary {node: operator}"

INSTEAD = {
    "train": f"{MODES}. {FIT}",
    "eval": MODES,
    "training": MODES,
    "zero_grad": "Nothing needs to be set to zero: net.backward() replaces net.gradients",
    "named_parameters": f"{TENSORS}; use net.parameters.items()",
    "named_buffers": f"{TENSORS}; use net.buffers.items()",
    "get_parameter": f"{TENSORS}: net.parameters['fc1.weight']",
    "modules": NODES,
    "named_modules": f"{NODES}; use net.operators.items()",
    "children": NODES,
    "named_children": f"{NODES}; use net.operators.items()",
    "requires_grad_": "net.freeze('fc1') and net.unfreeze('fc1') say what is trained",
    "cuda": "Use net.to('cuda')",
    "cpu": "Use net.to('cpu')",
    "double": "Use net.to(dtype=torch.float64)",
    "float": "Use net.to(dtype=torch.float32)",
    "half": "Use net.to(dtype=torch.float16)",
    "bfloat16": "Use net.to(dtype=torch.bfloat16)",
}
"""A method of torch.nn.Module -> what to use instead."""

FUNCTIONS = {"fit": FIT, "evaluate": "evaluate(net, inputs, targets) measures a network"}
"""A method of other libraries' models -> the function of that name."""


class NotAModule:
    """Raises errors with advice for what a torch.nn.Module can do and a Network does in another way."""

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise SettingError: `forward` and `predict` compute values."""
        raise SettingError(f"A Network is not called, unlike a torch.nn.Module: {MODES}. {FIT}.")

    if not TYPE_CHECKING:  # or mypy would believe that every attribute exists

        def __getattr__(self, name: str) -> NoReturn:
            """Raise UnknownAttributeError, which is an AttributeError."""
            if name in INSTEAD:
                raise UnknownAttributeError(f"A Network has no {name!r}, unlike a torch.nn.Module. {INSTEAD[name]}.")
            if name in FUNCTIONS:
                raise UnknownAttributeError(f"A Network has no {name!r}, which is a function: {FUNCTIONS[name]}.")
            public = [each for each in dir(self) if not each.startswith("_")]
            raise UnknownAttributeError(f"A Network has no {name!r}.{did_you_mean(name, public)}")
