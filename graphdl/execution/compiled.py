"""A compiled training step, bound to the tensors of a network."""

from graphdl.errors import CompileError


class CompiledSteps:
    def __init__(self, *args):
        raise CompileError("not yet")
