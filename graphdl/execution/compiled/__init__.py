"""The training step of a network as one C++ function that makes many steps a call.

trace        the step -> a graph of torch functions
writer       the graph -> C++, by values (the language), elements, reductions, products and operations
build        C++ -> a library, kept in a cache
steps        the library, bound to the tensors of a network
"""

from graphdl.execution.compiled.steps import BoundOptimizer, CompiledSteps

__all__ = ["BoundOptimizer", "CompiledSteps"]
