"""A tape in C++: one function that makes many steps a call."""

from graphdl.cpp.compiled import Compiled, compile_tape, run_all
from graphdl.cpp.program import Roles, form_of

__all__ = ["Compiled", "Roles", "compile_tape", "form_of", "run_all"]
